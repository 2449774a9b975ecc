"""Imports a BERT in Hugging Face's layout: ``config.json``, ``vocab.txt``, ``model.safetensors``."""

import contextlib
import json
import logging
import re
import tempfile
from pathlib import Path

import mxnet as mx
import numpy as np
import safetensors

from .. import registry
from ..data.vocabulary import read_sentencepieces, read_wordpieces
from ..errors import CheckpointError, UsageError
from ..files import digest
from . import store
from .backbones import bert_hparams

_ACTIVATIONS = {"gelu": "gelu", "gelu_new": "approx_gelu", "gelu_pytorch_tanh": "approx_gelu", "relu": "relu"}
_VOCABULARIES = (  # the first that is there counts; .model is SentencePiece
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
    "spm.model",
    "tokenizer.json",
)
_log = logging.getLogger("gluonnlp_snli_plugin")


def import_bert(source, name, root=None, overwrite=False):
    """Bring a BERT checkpoint into the local model store.

    Parameters
    ----------
    source : str or Path
        Folder with ``config.json``, ``vocab.txt`` (or ``tokenizer.json``, or a SentencePiece model) and
        ``model.safetensors``; or a name on the Hugging Face hub such as 'bert-base-uncased', fetched if
        ``huggingface_hub`` is installed.
    name : str
        Name to give it, ending in ``_cased`` or ``_uncased``.
    root : str or None
        Folder of the store, default ``$MXNET_HOME/models``.
    overwrite : bool, default False
        Whether another checkpoint under the same name may be replaced.

    Returns
    -------
    Checkpoint

    Raises
    ------
    UsageError
        If the name cannot be used.
    CheckpointError
        If the checkpoint is no BERT, is incomplete or contradicts itself; names the file.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*_(un)?cased", name):
        raise UsageError(f"--name {name!r} must end in _cased or _uncased and hold only letters, digits, '.', '_', '-'")
    if registry.is_host_vocabulary(name):
        raise UsageError(f"{name} is a name of GluonNLP's own: give another --name")
    folder = _folder(source)
    config = _read_config(folder / "config.json")
    backbone, hparams = _architecture(config, folder / "config.json")
    _check_tokenizer(folder, name)
    root = store.store_root(root)
    with _writing(root), tempfile.TemporaryDirectory(dir=root, prefix=".import-") as workspace:
        vocab_file = Path(workspace, "vocab")
        vocab, extension, special_tokens = _vocabulary(folder, config["vocab_size"], vocab_file)
        parameters, parts = _convert(hparams, len(vocab), _Tensors(folder))
        weights_file = Path(workspace, "weights")
        mx.nd.save(str(weights_file), parameters)
        named = bert_hparams(backbone)
        checkpoint = store.Checkpoint(
            backbone=backbone,
            dataset_name=name,
            weights_sha1=digest(weights_file, "sha1"),
            vocab_sha1=digest(vocab_file, "sha1"),
            vocab_extension=extension,
            special_tokens=special_tokens,
            hparams={key: value for key, value in hparams.items() if named.get(key) != value},
            parts=parts,
            source=str(source),
        )
        store.add(checkpoint, weights_file, vocab_file, root, overwrite)
    return checkpoint


@contextlib.contextmanager
def _writing(root):
    """Make the store's folder, and turn what goes wrong in writing there into one line."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise CheckpointError(f"cannot write to {error.filename or root}: {error.strerror}") from None
    except mx.MXNetError as error:
        raise CheckpointError(f"cannot write to {root}: {str(error).strip().splitlines()[-1]}") from None


# Reading ------------------------------------------------------------------------------------------------------------


def _folder(source):
    folder = Path(source)
    if folder.is_dir():
        return folder
    if folder.exists() or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", str(source)):
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


def _read_config(path):
    try:
        config = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing") from None
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is no JSON ({error})") from None
    if not isinstance(config, dict):
        raise CheckpointError(f"{path} is no JSON object")
    return config


def _architecture(config, path):
    """Name and hyper-parameters of the architecture, in GluonNLP's terms."""
    kind = config.get("model_type")
    if kind is None:  # as in the first configs
        classes = config.get("architectures") or ["BertModel"]
        kind = "bert" if str(classes[0]).startswith("Bert") else classes[0]
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
    if not isinstance(eps, float) or not 0 < eps < 1:
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
    config, uncased = _read_config(path), name.endswith("_uncased")
    lower = config.get("do_lower_case")
    if isinstance(lower, bool) and lower != uncased:
        wanted = "_uncased" if lower else "_cased"
        raise UsageError(f"{path} says do_lower_case={str(lower).lower()}: --name must end in {wanted}")
    for setting, ours in (("strip_accents", uncased), ("tokenize_chinese_chars", True)):
        if config.get(setting) not in (None, ours):
            _log.warning("%s says %s=%s; GluonNLP's tokenizer has %s", path, setting, config[setting], ours)


def _vocabulary(folder, size, target):
    """Write GluonNLP's vocabulary file to `target`; returns (vocab, file extension, special tokens)."""
    path = next((folder / name for name in _VOCABULARIES if (folder / name).is_file()), None)
    if path is None:
        raise CheckpointError(f"{folder} has no vocabulary: none of {', '.join(_VOCABULARIES)}")
    if path.suffix != ".model":
        vocab = read_wordpieces(path, size)
        target.write_text(vocab.to_json(), encoding="utf-8")
        return vocab, ".vocab", {}
    vocab, special_tokens = read_sentencepieces(path)
    if len(vocab) != size:
        raise CheckpointError(f"{path} has {len(vocab)} pieces, the weights are for {size}")
    target.write_bytes(path.read_bytes())
    return vocab, ".spiece", special_tokens


class _Tensors:
    """The tensors of ``model.safetensors`` as float32 arrays, by one spelling of their names."""

    def __init__(self, folder):
        self.path = folder / "model.safetensors"
        if not self.path.is_file():
            pickled = next(folder.glob("pytorch_model*.bin"), None)
            if pickled is not None:
                raise CheckpointError(
                    f"{pickled} is a pickle, and loading one can run any program; convert it where it comes from: "
                    "AutoModel.from_pretrained(DIR).save_pretrained(DIR, safe_serialization=True)"
                )
            raise CheckpointError(f"{self.path} is missing")
        try:
            with safetensors.safe_open(str(self.path), framework="np") as file:
                names = file.keys()
        except (safetensors.SafetensorError, OSError) as error:
            raise CheckpointError(f"{self.path} is no safetensors file ({error})") from None
        self._names = {self._common(name): name for name in names}

    @staticmethod
    def _common(name):
        """Without the prefix of ``BertFor…`` models, and with the LayerNorm names of today."""
        name = name[len("bert.") :] if name.startswith("bert.") else name
        return re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name))

    def __contains__(self, name):
        return name in self._names

    def __getitem__(self, name):
        if name not in self:
            raise CheckpointError(f"{self.path} has no tensor {name}: it is no complete BERT")
        with safetensors.safe_open(str(self.path), framework="np") as file:
            tensor = file.get_slice(self._names[name])
            if tensor.get_dtype() == "BF16":  # no numpy type: widen the bits
                return self._bfloat16(self._names[name])
            if tensor.get_dtype() not in ("F16", "F32", "F64"):
                raise CheckpointError(f"{self.path}: {name} is of type {tensor.get_dtype()}, no floating point")
            return file.get_tensor(self._names[name]).astype(np.float32)

    def _bfloat16(self, name):
        with open(self.path, "rb") as file:  # safe_open has checked the sizes
            header_size = int.from_bytes(file.read(8), "little")
            tensor = json.loads(file.read(header_size))[name]
            begin, end = tensor["data_offsets"]
            file.seek(8 + header_size + begin)
            bits = np.frombuffer(file.read(end - begin), "<u2").astype(np.uint32) << 16
        return bits.view(np.float32).reshape(tensor["shape"])


# Converting ---------------------------------------------------------------------------------------------------------


def _convert(hparams, vocab_size, tensors):
    """The parameters of GluonNLP's BERT from those of Hugging Face's; returns ({name: NDArray}, parts)."""
    units = hparams["units"]
    mapping = dict(_encoder_mapping(hparams, vocab_size))
    parts = [part for part in ("pooler", "decoder", "classifier") if _usable(part, hparams, tensors)]
    if "pooler" in parts:
        mapping.update(_dense("pooler", "pooler.dense", (units, units)))
    if "decoder" in parts:
        mapping.update(_dense("decoder.0", "cls.predictions.transform.dense", (units, units)))
        mapping.update(_layer_norm("decoder.2", "cls.predictions.transform.LayerNorm", units))
        mapping["decoder.3.bias"] = ("cls.predictions.bias", (vocab_size,))
    if "classifier" in parts:
        mapping.update(_dense("classifier", "cls.seq_relationship", (2, units)))
    parameters = {}
    for ours, (theirs, shape) in mapping.items():
        tensor = tensors[theirs]
        if tensor.shape != shape:
            raise CheckpointError(f"{tensors.path}: {theirs} is of shape {tensor.shape}, config.json says {shape}")
        if not np.isfinite(tensor).all():
            raise CheckpointError(f"{tensors.path}: {theirs} holds numbers that are not finite")
        parameters[ours] = mx.nd.array(tensor, dtype=np.float32)
    if "pooler" not in parts:
        _log.warning("%s has no pooler: a new one is made, to be trained with the head", tensors.path)
        new = np.random.default_rng(0).normal(0, 0.02, (units, units))  # the same at every import
        parameters["pooler.weight"] = mx.nd.array(new, dtype=np.float32)
        parameters["pooler.bias"] = mx.nd.zeros(units)
        parts.insert(0, "pooler")
    return parameters, parts


def _usable(part, hparams, tensors):
    """Whether the weights have a part in a form that GluonNLP's BERT can hold."""
    if part == "decoder":  # GluonNLP ties it to the word embedding and always uses GELU in it
        own = "cls.predictions.decoder.weight"
        tied = own not in tensors or np.array_equal(tensors[own], tensors["embeddings.word_embeddings.weight"])
        return "cls.predictions.bias" in tensors and tied and "activation" not in hparams
    if part == "classifier":
        return "cls.seq_relationship.weight" in tensors and "pooler.dense.weight" in tensors
    return "pooler.dense.weight" in tensors


def _encoder_mapping(hparams, vocab_size):
    """GluonNLP's parameter name -> (Hugging Face's name, shape)."""
    units, hidden = hparams["units"], hparams["hidden_size"]
    for ours, theirs, rows in (
        ("word_embed.0.weight", "word", vocab_size),
        ("token_type_embed.0.weight", "token_type", hparams["token_type_vocab_size"]),
        ("encoder.position_weight", "position", hparams["max_length"]),
    ):
        yield ours, (f"embeddings.{theirs}_embeddings.weight", (rows, units))
    yield from _layer_norm("encoder.layer_norm", "embeddings.LayerNorm", units)
    for i in range(hparams["num_layers"]):
        ours, theirs = f"encoder.transformer_cells.{i}", f"encoder.layer.{i}"
        for which in ("query", "key", "value"):
            yield from _dense(f"{ours}.attention_cell.proj_{which}", f"{theirs}.attention.self.{which}", (units, units))
        yield from _dense(f"{ours}.proj", f"{theirs}.attention.output.dense", (units, units))
        yield from _layer_norm(f"{ours}.layer_norm", f"{theirs}.attention.output.LayerNorm", units)
        yield from _dense(f"{ours}.ffn.ffn_1", f"{theirs}.intermediate.dense", (hidden, units))
        yield from _dense(f"{ours}.ffn.ffn_2", f"{theirs}.output.dense", (units, hidden))
        yield from _layer_norm(f"{ours}.ffn.layer_norm", f"{theirs}.output.LayerNorm", units)


def _dense(ours, theirs, shape):
    yield f"{ours}.weight", (f"{theirs}.weight", shape)
    yield f"{ours}.bias", (f"{theirs}.bias", shape[:1])


def _layer_norm(ours, theirs, units):
    yield f"{ours}.gamma", (f"{theirs}.weight", (units,))
    yield f"{ours}.beta", (f"{theirs}.bias", (units,))
