"""Reads a fine-tuned classifier in Hugging Face's layout: ``BertForSequenceClassification`` with three labels."""

import logging

import mxnet as mx

from ..data.snli import LABELS
from ..errors import CheckpointError, UsageError
from .backbones import is_dropout
from .classifier_file import set_parameters
from .conversion import Tensors, convert_weights
from .folder import Model, ModelSettings, build_net
from .huggingface import find_folder, read_architecture, read_config, read_vocabulary_of

_log = logging.getLogger("gluonnlp_snli_plugin")

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


def read_classifier(source, labels=None, ctx=None):
    """Read a fine-tuned classifier in Hugging Face's layout.

    Parameters
    ----------
    source : str or Path
        Folder, or a name on the Hugging Face hub.
    labels : sequence of str or None
        Names of the classes in the order of the logits, where ``id2label`` has none such as 'entailment'.
    ctx : Context, default CPU

    Returns
    -------
    Model
        Its classes in the order of ``LABELS``.

    Raises
    ------
    UsageError
        If `labels` are needed, or are not the three.
    CheckpointError
        If it is no such classifier, is incomplete or contradicts itself; names the file.
    """
    folder = find_folder(source)
    path = folder / "config.json"
    config = read_config(path)
    head = _head(config, path)
    backbone, hparams = read_architecture({**config, "model_type": "bert"} if head == "mlp" else config, path)
    order = _labels(config, path, labels)
    tensors = Tensors(folder)
    units = hparams["units"]
    tensors.require("classifier.weight", (len(LABELS), units))
    tensors.require("classifier.bias", (len(LABELS),))
    tensors.require("pooler.dense.weight")  # a new one would be of no use
    vocab, vocab_file = read_vocabulary_of(folder, config["vocab_size"], units, tensors)
    parameters, _ = convert_weights(hparams, len(vocab), tensors)
    parameters = {
        f"bert.{name}": array
        for name, array in parameters.items()
        if name.split(".")[0] not in ("decoder", "classifier")
    }
    last = "classifier.1" if head == "pooled" else "classifier.2"
    if head == "mlp":
        for kind in ("weight", "bias"):
            parameters[f"classifier.0.{kind}"] = parameters.pop(f"bert.pooler.{kind}")
    rows = [order.index(label) for label in LABELS]
    for kind in ("weight", "bias"):
        parameters[f"{last}.{kind}"] = mx.nd.array(tensors.finite(f"classifier.{kind}")[rows], dtype="float32")
    dropout = config.get("hidden_dropout_prob", 0.1)
    hparams["dropout"] = dropout if is_dropout(dropout) else 0.1
    lower, max_len = _tokenizer(folder, hparams["max_length"])
    settings = ModelSettings(
        backbone=backbone,
        hparams=hparams,
        head=head,
        hidden_units=units if head == "mlp" else 0,
        dropout=hparams["dropout"],
        lower=lower,
        max_len=max_len,
        truncation="longest_first",
    )
    net = build_net(settings, vocab)
    set_parameters(net, parameters, mx.cpu() if ctx is None else ctx, tensors.path)
    return Model(net, vocab, settings, vocab_file if vocab_file.suffix == ".model" else None)


def _head(config, path):
    if config.get("model_type") == RELU_HEAD["model_type"]:
        if all(config.get(key) == value for key, value in RELU_HEAD.items() if key != "architectures"):
            return "mlp"
        raise CheckpointError(f"{path}: a DeBERTa; of these, only what export --format huggingface wrote can be read")
    return "pooled"


def _labels(config, path, labels):
    """Our names of the classes in the order of the logits."""
    if labels is not None:
        if sorted(labels) != sorted(LABELS):
            raise UsageError(f"--labels {','.join(labels)} must be {','.join(LABELS)} in the order of the logits")
        return list(labels)
    names = config.get("id2label")
    if not isinstance(names, dict):
        raise CheckpointError(f"{path} has no id2label: it is no fine-tuned classifier; bring a BERT in with --name")
    if len(names) != len(LABELS):
        raise CheckpointError(f"{path} tells {len(names)} classes apart; SNLI has {len(LABELS)}: {', '.join(LABELS)}")
    order = [str(names.get(str(i))).strip().lower() for i in range(len(LABELS))]
    if sorted(order) != sorted(LABELS):
        raise UsageError(
            f"{path} names the classes {', '.join(map(repr, order))}: say what they are with --labels, for example "
            f"--labels {','.join(LABELS)}"
        )
    return order


def _tokenizer(folder, max_length):
    """Whether text is lower-cased, and the longest input in tokens, as far as the tokenizer's files say."""
    lower, max_len = True, max_length  # as transformers' BertTokenizer has it by itself
    if (folder / "tokenizer_config.json").is_file():
        config = read_config(folder / "tokenizer_config.json")
        if isinstance(config.get("do_lower_case"), bool):
            lower = config["do_lower_case"]
        longest = config.get("model_max_length")
        if isinstance(longest, (int, float)) and 5 <= longest < max_length:
            max_len = int(longest)
    else:
        _log.warning("%s has no tokenizer_config.json: text is lower-cased, as transformers does then", folder)
    return lower, max_len
