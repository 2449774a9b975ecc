"""``--dtype``: in which precision a net computes through XLA."""

from typing import Any, NamedTuple, Optional

import jax
import jax.numpy as jnp


class Precision(NamedTuple):
    """Parameters, LayerNorm, softmax and losses are float32 in any case."""

    dtype: Any  #: of activations, and of the factors of matrix products
    products: Optional[jax.lax.Precision] = None  #: of products of float32
    scales_loss: bool = False  #: whether gradients are too small for the dtype unless the loss is scaled


PRECISIONS = {
    "float32": Precision(jnp.float32, jax.lax.Precision.HIGHEST),
    "tfloat32": Precision(jnp.float32, jax.lax.Precision.DEFAULT),  # on GPUs; exact on CPU
    "bfloat16": Precision(jnp.bfloat16),
    "float16": Precision(jnp.float16, scales_loss=True),
}
