"""Reads a BERT in Hugging Face's layout: ``config.json``, ``vocab.txt``, ``model.safetensors``."""

import logging
import os
import re
from pathlib import Path

from ..data.vocabulary import read_sentencepieces, read_wordpieces
from ..errors import CheckpointError, UsageError
from ..files import read_bytes, read_json
from .backbones import bert_hparams
from .conversion import ImportedBert, Tensors, convert_weights

_ACTIVATIONS = {"gelu": "gelu", "gelu_new": "approx_gelu", "gelu_pytorch_tanh": "approx_gelu", "relu": "relu"}
_VOCABULARIES = (  # the first that is there counts; .model is SentencePiece
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
    "spm.model",
    "tokenizer.json",
)
_LONGEST_NAME = 96  # on the hub
_log = logging.getLogger("gluonnlp_snli_plugin")


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
    ImportedBert

    Raises
    ------
    UsageError
        If the name contradicts the tokenizer.
    CheckpointError
        If the checkpoint is no BERT, is incomplete or contradicts itself; names the file.
    """
    folder = find_folder(source)
    config = read_config(folder / "config.json")
    backbone, hparams = read_architecture(config, folder / "config.json")
    _check_tokenizer(folder, name)
    tensors = Tensors(folder)
    vocab, content, extension, special_tokens = _vocabulary(folder, config["vocab_size"], hparams["units"], tensors)
    parameters, parts = convert_weights(hparams, len(vocab), tensors)
    return ImportedBert(backbone, hparams, parameters, parts, content, extension, special_tokens)


def find_folder(source):
    """The folder itself, or where a name on the Hugging Face hub was fetched to."""
    folder = Path(source)
    if os.path.isdir(folder):
        return folder
    is_name = re.fullmatch(r"[\w.-]+(/[\w.-]+)?", str(source)) and len(str(source)) <= _LONGEST_NAME
    if os.path.exists(folder) or not is_name:
        raise CheckpointError(f"{source} is no folder: give the folder that holds config.json and model.safetensors")
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise CheckpointError(
            f"there is no folder {source}; for a name on the Hugging Face hub: pip install gluonnlp-snli-plugin[hub]"
        ) from None
    try:
        wanted = ["config.json", "tokenizer_config.json", *_VOCABULARIES, "model.safetensors"]
        return Path(snapshot_download(str(source), allow_patterns=wanted))
    except Exception as error:  # huggingface_hub raises many kinds, of its own and of the network's
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(f"cannot fetch {source} from the Hugging Face hub: {reason}") from None


def read_config(path):
    """The JSON object in a file, a dict."""
    try:
        config = read_json(path)
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing") from None
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise CheckpointError(f"{path} is no JSON ({error})") from None
    if not isinstance(config, dict):
        raise CheckpointError(f"{path} is no JSON object")
    return config


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
        raise CheckpointError(f"{path}: position_embedding_type {config['position_embedding_type']!r} is no plain BERT")
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


def _check_tokenizer(folder, name):
    """Whether GluonNLP's tokenizer, which is told the case and nothing else, does what this one does."""
    path = folder / "tokenizer_config.json"
    if not path.is_file():
        return
    config, uncased = read_config(path), name.endswith("_uncased")
    lower = config.get("do_lower_case")
    if isinstance(lower, bool) and lower != uncased:
        wanted = "_uncased" if lower else "_cased"
        raise UsageError(f"{path} says do_lower_case={str(lower).lower()}: --name must end in {wanted}")
    for setting in ("strip_accents", "tokenize_chinese_chars"):  # GluonNLP strips accents of cased text too
        if config.get(setting) not in (None, True):
            _log.warning("%s says %s=%s; GluonNLP's tokenizer has True", path, setting, config[setting])


def _vocabulary(folder, size, units, tensors):
    """The vocabulary, the content of its file in the store, the file's extension and the special tokens."""
    vocab, path = read_vocabulary_of(folder, size, units, tensors)
    if path.suffix != ".model":
        return vocab, vocab.to_json().encode(), ".vocab", {}
    return vocab, read_bytes(path), ".spiece", read_sentencepieces(path)[1]


def read_vocabulary_of(folder, size, units, tensors):
    """The vocabulary of a folder, of as many tokens as the weights are for, and the file it came from."""
    path = next((folder / name for name in _VOCABULARIES if (folder / name).is_file()), None)
    if path is None:
        raise CheckpointError(f"{folder} has no vocabulary: none of {', '.join(_VOCABULARIES)}")
    if path.suffix != ".model":
        # It is filled up to that size, which so far only config.json knows.
        tensors.require("embeddings.word_embeddings.weight", (size, units))
        return read_wordpieces(path, size), path
    vocab, _ = read_sentencepieces(path)
    if len(vocab) != size:
        raise CheckpointError(f"{path} has {len(vocab)} pieces, the weights are for {size}")
    return vocab, path
