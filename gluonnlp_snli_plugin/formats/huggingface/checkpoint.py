"""Reads a BERT in Hugging Face's layout: ``config.json``, ``vocab.txt``, ``model.safetensors``."""

from ...errors import CheckpointError, UsageError
from ...model.bert import bert_hparams
from ...store.pretrained import PretrainedBert
from ...system.files import read_bytes
from .files import find_folder, read_config
from .tensors import WEIGHT_FILES, Tensors
from .tokenizer import TOKENIZER_FILES, establish
from .weights import convert_weights

FILES = ("config.json", *TOKENIZER_FILES, *WEIGHT_FILES)  #: what to fetch of a checkpoint on the hub
_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "approx_gelu",
    "gelu_fast": "approx_gelu",
    "gelu_accurate": "approx_gelu",
    "gelu_pytorch_tanh": "approx_gelu",
    "gelu_python_tanh": "approx_gelu",
    "relu": "relu",
}


def read_huggingface(source, name):
    """Read a BERT in Hugging Face's layout.

    Parameters
    ----------
    source : str or Path
        Folder, or a name on the Hugging Face hub.
    name : str
        Name it is to have in the store; its end must agree with the case of the tokenizer.

    Returns
    -------
    PretrainedBert

    Raises
    ------
    UsageError
        If the name contradicts the tokenizer, or the files do not say its case.
    CheckpointError
        If the checkpoint is not a BERT, is incomplete or contradicts itself; names the file.
    """
    folder = find_folder(source, FILES)
    config = read_config(folder / "config.json")
    backbone, hparams = read_architecture(config, folder / "config.json")
    tensors = Tensors(folder)
    # The vocabulary is filled up to that size, which so far only config.json knows.
    tensors.require("embeddings.word_embeddings.weight", (config["vocab_size"], hparams["units"]))
    tokenizer = establish(folder, config["vocab_size"], uncased=name.endswith("_uncased"))
    parameters, parts = convert_weights(hparams, len(tokenizer.vocab), tensors)
    return PretrainedBert(
        backbone,
        hparams,
        parameters,
        parts,
        vocab_content=read_bytes(tokenizer.file) if tokenizer.spiece else tokenizer.vocab.to_json().encode(),
        vocab_extension=".spiece" if tokenizer.spiece else ".vocab",
        special_tokens=tokenizer.special_tokens,
        tokenizer=tokenizer.settings,
    )


def read_architecture(config, path):
    """Name and hyper-parameters of the architecture, in GluonNLP's terms."""
    kind = config.get("model_type")
    if kind is None:  # as in the first configs
        classes = config.get("architectures") or ["BertModel"]
        kind = classes[0] if isinstance(classes, list) else classes
        kind = "bert" if str(kind).startswith("Bert") else kind
    if kind != "bert":
        raise CheckpointError(f"{path}: the architecture is {kind!r}; only 'bert' can be imported")
    if config.get("position_embedding_type", "absolute") != "absolute":
        raise CheckpointError(
            f"{path}: position_embedding_type is {config['position_embedding_type']!r}; a plain BERT has 'absolute'"
        )
    for flag in ("is_decoder", "add_cross_attention"):
        if config.get(flag):
            raise CheckpointError(f"{path}: {flag} is set; only encoders can be imported")
    sizes = {
        key: _positive(config, key, path)
        for key in (
            "vocab_size",
            "num_hidden_layers",
            "hidden_size",
            "num_attention_heads",
            "intermediate_size",
            "max_position_embeddings",
            "type_vocab_size",
        )
    }
    if sizes["type_vocab_size"] < 2:
        raise CheckpointError(f"{path}: type_vocab_size is 1; telling premise from hypothesis takes 2")
    activation = config.get("hidden_act", "gelu")
    if not isinstance(activation, str) or activation not in _ACTIVATIONS:
        raise CheckpointError(f"{path}: hidden_act {activation!r}; GluonNLP has {', '.join(sorted(_ACTIVATIONS))}")
    eps = config.get("layer_norm_eps", 1e-12)
    if not isinstance(eps, float) or not 1e-30 <= eps < 1:  # MXNet cannot read smaller ones
        raise CheckpointError(f"{path}: layer_norm_eps is {eps!r}")
    backbone = f"bert_{sizes['num_hidden_layers']}_{sizes['hidden_size']}_{sizes['num_attention_heads']}"
    try:
        hparams = bert_hparams(backbone)
    except UsageError as error:
        raise CheckpointError(f"{path}: {error}") from None
    hparams.update(
        hidden_size=sizes["intermediate_size"],
        max_length=sizes["max_position_embeddings"],
        token_type_vocab_size=sizes["type_vocab_size"],
    )
    if _ACTIVATIONS[activation] != "gelu":
        hparams["activation"] = _ACTIVATIONS[activation]
    if eps != 1e-12:
        hparams["layer_norm_eps"] = eps
    return backbone, hparams


def _positive(config, key, path):
    value = config.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 1 << 24:
        raise CheckpointError(f"{path}: {key} is {'missing' if value is None else repr(value)[:60]}")
    return value
