"""Reads a fine-tuned classifier in Hugging Face's layout: ``BertForSequenceClassification`` and the like."""

from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import mxnet as mx

from ...data.schema import is_class_name
from ...errors import CheckpointError, UsageError
from ...model.encoder_family import is_dropout
from ...model.family import Family, families
from ...model.heads import head_named
from ...tasks.snli import LABELS
from ..format import MARK, PathLike, content_of
from ..model_folder import Model
from ..model_settings import ModelSettings
from ..reading import model_of
from .checkpoint import FILES, read_architecture, tokenizer_of
from .files import find_folder, read_config
from .tensors import Tensors
from .weights import convert_weights

# Says what is needed and shows no order that could be copied unread.
_ORDER = "import-bert --labels NAME0,NAME1,... names the classes in the order of the logits"

#: How config.json of a plain BERT with the head Dense, ReLU, Dense differs from a ``BertForSequenceClassification``,
#: whose head has a tanh. DeBERTa-v2's code, told to leave its relative positions and convolution out, is that of BERT,
#: and takes the activation of its head from here.
RELU_HEAD = {
    "architectures": ["DebertaV2ForSequenceClassification"],
    "model_type": "deberta-v2",
    "relative_attention": False,
    "pos_att_type": None,
    "position_biased_input": True,
    "conv_kernel_size": 0,
    "norm_rel_ebd": "none",
    "pooler_hidden_act": "relu",
}


def read_classifier(source: PathLike, labels: Optional[Sequence[str]] = None, ctx: Any = None) -> Model:
    """Read a fine-tuned classifier in Hugging Face's layout.

    Parameters
    ----------
    source : str or Path
        Folder, or a name on the Hugging Face hub.
    labels : sequence of str or None
        Names of the classes in the order of the logits: any, and any number of them. Without them ``id2label`` must
        have the three of natural language inference, unless ``export`` wrote the folder.
    ctx : Context, default CPU

    Returns
    -------
    Model
        The three classes of natural language inference are in the order of ``LABELS``, others in that of the logits.

    Raises
    ------
    UsageError
        If `labels` are needed, or do not fit the checkpoint.
    CheckpointError
        If it is not such a classifier, is incomplete or contradicts itself; names the file.
    """
    folder = find_folder(source, FILES)
    path = folder / "config.json"
    config = read_config(path)
    is_relu = _is_relu(config, path)
    if is_relu:
        config["model_type"] = next(family.model_type for family in families() if family.huggingface.fits_deberta)
    family, backbone, hparams = read_architecture(config, path)
    head = "mlp" if is_relu else family.own_head
    order = _labels(config, path, labels)
    tensors = Tensors(folder)
    units = hparams["units"]
    names = LABELS if sorted(order) == sorted(LABELS) else tuple(order)
    parameters, used = _head_parameters(family, head, units, [order.index(label) for label in names], tensors)
    tensors.require("embeddings.word_embeddings.weight", (config["vocab_size"], units))
    tokenizer = tokenizer_of(family, folder, config)
    of_bert, _ = convert_weights(family, config, hparams, len(tokenizer.vocab), tensors, used)
    for name, array in of_bert.items():
        if name.split(".")[0] not in family.parts:  # the head's layers are those above
            parameters[f"bert.{name}"] = array
    dropout = config.get(family.huggingface.dropout, 0.1)
    hparams["dropout"] = dropout if is_dropout(dropout) else 0.1
    of_head = config.get("cls_dropout" if is_relu else family.huggingface.head_dropout)
    settings = ModelSettings(
        backbone=backbone,
        hparams=hparams,
        head=head,
        hidden_units=units if head == "mlp" else 0,
        dropout=float(of_head) if of_head is not None and is_dropout(of_head) else hparams["dropout"],
        tokenizer=tokenizer.settings,
        max_len=_max_len(folder, hparams["max_length"]),
        truncation="longest_first",
        one_separator=tokenizer.one_separator,
        labels=names,
    )
    ctx = mx.cpu() if ctx is None else ctx
    return model_of(settings, tokenizer.vocab, tokenizer.spiece, parameters, ctx, tensors.path)


def _is_relu(config: Dict[str, Any], path: Path) -> bool:
    """Whether it is a BERT with the head Dense, ReLU, Dense, as ``export`` writes it."""
    if config.get("model_type") != RELU_HEAD["model_type"]:
        return False
    if all(config.get(key) == value for key, value in RELU_HEAD.items() if key != "architectures"):
        return True
    raise CheckpointError(f"{path}: a DeBERTa; of these, only what export --format huggingface wrote can be read")


def _head_parameters(
    family: Family, head: str, units: int, rows: List[int], tensors: Tensors
) -> Tuple[Dict[str, mx.nd.NDArray], Tuple[str, ...]]:
    """The parameters of the head's dense layers, the last one's `rows` in that order; and the tensors' names."""
    hidden, last = head_named(head).dense_layers(units, len(rows), units)
    parameters, used = {}, []
    for layer, theirs in zip((hidden, last), family.huggingface.head):
        for kind, shape in (("weight", (layer.units, layer.in_units)), ("bias", (layer.units,))):
            tensors.require(f"{theirs}.{kind}", shape)
            array = tensors.finite(f"{theirs}.{kind}")
            parameters[f"{layer.name}.{kind}"] = mx.nd.array(array[rows] if layer is last else array, dtype="float32")
            used.append(f"{theirs}.{kind}")
    return parameters, tuple(used)


def _labels(config: Dict[str, Any], path: Path, labels: Optional[Sequence[str]]) -> List[str]:
    """The names of the classes in the order of the logits."""
    names = config.get("id2label")
    if isinstance(names, dict) and len(names) == 1:
        raise CheckpointError(f"{path} has one output, a score of the pair: a classifier has two classes or more")
    if labels is None and isinstance(names, dict) and content_of(path.parent / MARK).get("format") == "huggingface":
        own: List[Any] = [names.get(str(i)) for i in range(len(names))]  # which export took from the model
        labels = own if all(map(is_class_name, own)) else None
    if labels is not None:
        given = [label.strip() for label in labels]
        lower = [label.lower() for label in given]
        number = len(names) if isinstance(names, dict) else len(given)
        if not 2 <= len(set(given)) == len(given) == number or "" in given:
            raise UsageError(f"--labels {','.join(labels)!r} does not name each of {number} classes once: {_ORDER}")
        order = lower if sorted(lower) == sorted(LABELS) else given
        there = [str(names.get(str(i))).strip().lower() for i in range(number)] if isinstance(names, dict) else lower
        if sorted(there) == sorted(lower) and there != lower:
            raise UsageError(f"--labels {','.join(labels)}: {path} has these classes in the order {','.join(there)}")
        return order
    if not isinstance(names, dict):
        raise CheckpointError(
            f"{path} has no id2label: it is not a fine-tuned classifier; import a backbone with --name"
        )
    if len(names) != len(LABELS):
        raise CheckpointError(
            f"{path} has {len(names)} classes; SNLI has {len(LABELS)}: {', '.join(sorted(LABELS))}; others "
            "are named with import-bert --labels"
        )
    order = [str(names.get(str(i))).strip().lower() for i in range(len(LABELS))]
    if sorted(order) != sorted(LABELS):
        raise UsageError(
            f"{path} names the classes {', '.join(map(repr, order))}: look up what they mean where the checkpoint "
            f"comes from, for the order differs between checkpoints; {_ORDER}"
        )
    return order


def _max_len(folder: Path, max_length: int) -> int:
    """The longest input in tokens, as far as the tokenizer's files say it."""
    path = folder / "tokenizer_config.json"
    longest = read_config(path).get("model_max_length") if path.is_file() else None
    return int(longest) if isinstance(longest, (int, float)) and 5 <= longest < max_length else max_length
