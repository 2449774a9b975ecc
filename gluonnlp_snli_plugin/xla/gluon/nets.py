"""Which nets of GluonNLP compute through XLA, and as which functions."""

from typing import Any, Callable, Dict, List, NamedTuple, Tuple

import gluonnlp as nlp
import jax.numpy as jnp
import mxnet as mx
import numpy as np
from gluonnlp.model import BERTModel, RoBERTaClassifier
from mxnet.gluon import nn

from ...errors import UsageError
from ...model.backbone import MODELS, UnknownNet, hyperparameters_of
from ...model.classifier import SNLIBertClassifier
from ...model.family import families
from ...model.first_token import FirstTokenCell
from ...model.heads import Head, head_named
from ...model.parameter_names import HostClassifier
from ..bert import Bert
from ..classifier import Classifier
from ..dropout import Dropout
from ..precision import Precision

#: The arguments of a block's ``forward``, in order.
_ARGUMENTS = ("input_ids", "segment_ids", "valid_length", "masked_position")
_ARGUMENTS_WITHOUT_SEGMENTS = ("input_ids", "valid_length")  # of GluonNLP's RoBERTaClassifier; others get an empty list


class XLANet(NamedTuple):
    """A net as a function of arrays."""

    parameters: Dict[str, mx.gluon.Parameter]  #: by the names that the function uses
    outputs: Callable[..., Tuple[Any, ...]]  #: of (arrays by name, inputs by name, key for dropout)
    is_large: Tuple[bool, ...]  #: of each output: whether it stays on the device until the script looks at it
    gives_tokens: bool  #: whether the first output has an axis of tokens after that of rows
    end: int  #: the most tokens of a pair
    needs_masks: bool = False  #: whether it decodes tokens, at positions that it is given
    arguments: Tuple[str, ...] = _ARGUMENTS  #: the names of the block's arguments


def contains_bert(block: mx.gluon.Block) -> bool:
    """Whether a block is a BERT, or has one among its children."""
    return isinstance(block, BERTModel) or any(map(contains_bert, block._children.values()))


def is_computed_as_a_whole(block: Any) -> bool:
    """Whether a block is a BERT, or a classifier around one with the layers that it was made with."""
    if type(block) is not SNLIBertClassifier and type(block) not in _hosts():
        return isinstance(block, BERTModel)
    *rest, last = block.classifier
    hidden = _head_of(block).own_layers(1, 1, 1)[:-1]
    layers = [type(layer) for layer in rest if type(layer) is not nn.Dropout]
    return layers == [nn.Dense] * len(hidden) and type(last) is nn.Dense and last.act is None and last.bias is not None


def example_arguments(block: Any) -> List[Any]:
    """Arguments of the form that a block which is computed as a whole gets, for MXNet to make a graph of it."""
    array = mx.nd.zeros((1, 1))
    if _arguments_of(block) == _ARGUMENTS_WITHOUT_SEGMENTS:
        return [array, array]
    masks = [array] if getattr(block, "_use_decoder", False) else []
    return [array, array if _backbone_of(block)._use_token_type_embed else [], array, *masks]


def _arguments_of(block: Any) -> Tuple[str, ...]:
    return _ARGUMENTS_WITHOUT_SEGMENTS if type(block) is RoBERTaClassifier else _ARGUMENTS


def _hosts() -> Dict[type, HostClassifier]:
    """GluonNLP's classes of classifiers."""
    hosts = [family.host_classifier for family in families()]
    return {getattr(nlp.model, host.name): host for host in hosts if host}


def _backbone_of(block: Any) -> BERTModel:
    """The backbone of a block that is computed as a whole."""
    if isinstance(block, BERTModel):
        return block
    host = _hosts().get(type(block))
    return getattr(block, host.backbone) if host else block.bert


def _head_of(block: Any) -> Head:
    """The head of a classifier."""
    host = _hosts().get(type(block))
    return head_named(host.head) if host else block.head


def xla_net(block: Any, precision: Precision) -> XLANet:
    """A block as a function.

    Parameters
    ----------
    block : Block
        GluonNLP's BERTModel, RoBERTaModel, DistilBERTModel, BERTClassifier or RoBERTaClassifier, or this package's
        SNLIBertClassifier.
    precision : Precision

    Raises
    ------
    UsageError
        If it has parts that are not computed through XLA.
    """
    if type(block) in MODELS:
        return _bert_model(block, precision)
    if type(block) in _hosts():
        return _host_classifier(block, _hosts()[type(block)], precision)
    if type(block) is SNLIBertClassifier:
        *hidden, dropout, _ = block.classifier
        sizes = block.num_classes, hidden[0]._units if hidden else 0, dropout._rate
        return _classifier(Classifier(_bert(block.bert, precision), block.head, *sizes), _named(block), block.bert)
    raise UsageError(f"{type(block).__name__} is not computed through XLA, only GluonNLP's own models are")


def _host_classifier(block: Any, host: HostClassifier, precision: Precision) -> XLANet:
    """A classifier of GluonNLP's own class."""
    backbone = _backbone_of(block)
    layers, rates = [], [0.0]
    for child in block.classifier:
        if isinstance(child, nn.Dropout):
            rates[-1] = child._rate
        else:
            layers.append(child)
            rates.append(0.0)
    *input_rates, rate, _ = rates  # each before its layer
    head = head_named(host.head)
    for layer, expected in zip(layers, head.own_layers(1, 1, 1)):
        if (layer.act and layer.act._act_type) != expected.activation or layer.bias is None:
            raise UsageError(f"a {host.name} with other layers than GluonNLP's is not computed through XLA")
    parameters = _named(backbone, "bert")
    for name, layer in zip(host.layers, layers):
        parameters.update((f"{name}.{kind}", parameter) for kind, parameter in layer._reg_params.items())
    classifier = Classifier(_bert(backbone, precision), head, layers[-1]._units, 0, rate, *input_rates)
    return _classifier(classifier, parameters, backbone)._replace(arguments=_arguments_of(block))


def _classifier(classifier: Classifier, parameters: Dict[str, Any], bert: BERTModel) -> XLANet:
    def outputs(weights: Any, inputs: Any, key: Any) -> Tuple[Any, ...]:
        return (classifier.logits(weights, inputs, key),)

    return XLANet(parameters, outputs, (False,), False, bert.encoder._max_length)


def _bert_model(model: BERTModel, precision: Precision) -> XLANet:
    bert = _bert(model, precision)
    first_only = isinstance(model.encoder.transformer_cells[-1], FirstTokenCell)
    has_pooler, has_classifier, has_decoder = model._use_pooler, model._use_classifier, model._use_decoder

    def outputs(weights: Any, inputs: Any, key: Any) -> Tuple[Any, ...]:
        states = bert.encode(weights, inputs, Dropout(key), first_only)
        is_token = jnp.arange(states.shape[1])[None, :] < inputs["valid_length"][:, None]
        states = jnp.where(is_token[:, :, None], states, 0)
        found = [states.astype(np.float32)]
        if has_pooler:
            found.append(bert.pooled(weights, states))
            if has_classifier:
                found.append(bert.dense(weights, "bert.classifier", found[-1], np.float32))
        if has_decoder:
            found.append(bert.decoded(weights, states, inputs["masked_position"]))
        return tuple(found)

    number = 1 + has_pooler + has_classifier
    is_large = (True, *[False] * (number - 1), *[True] * has_decoder)
    needs_masks = bool(has_decoder)
    return XLANet(_named(model, "bert"), outputs, is_large, not first_only, model.encoder._max_length, needs_masks)


def _bert(model: BERTModel, precision: Precision) -> Bert:
    try:
        return Bert(hyperparameters_of(model), precision)
    except UnknownNet as reason:
        raise UsageError(f"{reason} is not computed through XLA") from None


def _named(block: mx.gluon.Block, prefix: str = "") -> Dict[str, mx.gluon.Parameter]:
    """The parameters of a block by the first of their names."""
    found: Dict[int, Tuple[str, mx.gluon.Parameter]] = {}
    for name, parameter in block._collect_params_with_prefix(prefix).items():
        found.setdefault(id(parameter), (name, parameter))
    return dict(found.values())
