"""C++ operators for MXNet on CPU, built on first use, and what puts them into a GluonNLP BERT."""

from .accelerate import accelerate, is_accelerated, restore, stock_products
from .bfloat16 import has_bfloat16, require_bfloat16, use_bfloat16

__all__ = [
    "accelerate",
    "has_bfloat16",
    "is_accelerated",
    "require_bfloat16",
    "restore",
    "stock_products",
    "use_bfloat16",
]
