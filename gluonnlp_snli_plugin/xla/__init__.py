"""The nets as XLA programs, through JAX: for GPUs, and for CPU devices where that code is tested.

Only the modules in here import JAX; the rest of the package imports them where a run computes through XLA.
"""
