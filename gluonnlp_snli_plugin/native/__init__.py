"""C++ operators for MXNet on CPU, built on first use, and what puts them into a GluonNLP BERT."""

from .accelerate import accelerate, adds_gradients_in_place, has_bfloat16, is_accelerated, restore

__all__ = ["accelerate", "adds_gradients_in_place", "has_bfloat16", "is_accelerated", "restore"]
