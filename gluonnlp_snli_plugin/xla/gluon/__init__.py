"""Nets of GluonNLP that compute through XLA while a script trains them with MXNet's autograd and Trainer."""
