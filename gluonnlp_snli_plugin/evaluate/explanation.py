"""Explanations of predictions: the contribution of each token of a pair, by integrated gradients.

The gradient at the pair itself says little if the model is certain, because the function is flat there: on pairs that
depend on one word, that word often ranks third or fifth and with the wrong sign. The gradients are therefore averaged
along the path from the pair with every token masked to the pair itself (Sundararajan et al., 2017). The contributions
then add up to the difference that all tokens together make to the log-odds of the answer.
"""

from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import mxnet as mx
import numpy as np

from ..data.encoding import PairEncoder
from ..formats.model_folder import Model
from ..model.classifier import SNLIBertClassifier

_POINTS = 16  # on the path at which the gradient is computed (Gauss-Legendre)
_TOKENS_AT_ONCE = 2048  # of all points together; limits the memory of the backward pass


class Part(NamedTuple):
    """A part of a sentence, as in the input."""

    text: str
    contribution: Optional[float]  #: None for what the model does not read: spaces and truncated words


class Explanation(NamedTuple):
    """The contributions of the words of a pair to an answer, as differences of log-odds.

    The log-odds of a label of probability p are ``log(p / (1 - p))``. A positive contribution supports the label, a
    negative one opposes it.
    """

    label: str  #: the answer that is explained
    premise: List[Part]  #: joined, their texts are the premise
    hypothesis: List[Part]
    tokens: List[Tuple[str, float]]  #: the model's input, including special tokens, which contribute 0
    log_odds: float  #: of the answer
    log_odds_masked: float  #: of the same label where every token is [MASK]; contributions add up to the difference

    def to_dict(self) -> Dict[str, Any]:
        """The explanation as a dict for JSON, with rounded numbers."""
        as_json = self._asdict()
        for name in ("premise", "hypothesis"):
            as_json[name] = [_rounded("text", *part) for part in as_json[name]]
        as_json["tokens"] = [_rounded("token", *token) for token in self.tokens]
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in as_json.items()}


def _rounded(name: str, text: str, contribution: Optional[float]) -> Dict[str, Any]:
    return {name: text, "contribution": None if contribution is None else round(contribution, 4)}


def explain(
    model: Model,
    encoder: PairEncoder,
    premise: str,
    hypothesis: str,
    ctx: Optional[mx.Context] = None,
    label: Optional[str] = None,
) -> Explanation:
    """Explain the answer for one pair.

    Parameters
    ----------
    model : Model
        Float32.
    encoder : PairEncoder
        The model's.
    premise, hypothesis : str
    ctx : Context, default CPU
        A device that holds the model.
    label : str or None
        The answer to explain, by default the model's.

    Returns
    -------
    Explanation
    """
    encoded = encoder.encode([premise], [hypothesis])
    input_ids, segment_ids, _ = encoded[0]
    vocab, labels = model.vocab, model.settings.labels
    masked_ids = np.full_like(input_ids, vocab[vocab.mask_token])
    len_a, len_b = int(encoded.len_a[0]), int(encoded.len_b[0])
    layout = encoder.layout
    special = layout.special_positions(len_a, len_b)
    first, second = len(layout.before), layout.second(len_a)
    masked_ids[special] = input_ids[special]
    values, target, odds, masked_odds = contributions(
        model.net, input_ids, masked_ids, segment_ids, ctx or mx.cpu(), None if label is None else labels.index(label)
    )
    return Explanation(
        labels[target],
        _parts(encoder.tokenizer, premise, values[first : first + len_a]),
        _parts(encoder.tokenizer, hypothesis, values[second : second + len_b]),
        list(zip(vocab.to_tokens(input_ids.tolist()), values.tolist())),
        odds,
        masked_odds,
    )


def contributions(
    net: SNLIBertClassifier,
    input_ids: np.ndarray,
    masked_ids: np.ndarray,
    segment_ids: np.ndarray,
    ctx: mx.Context,
    target: Optional[int] = None,
) -> Tuple[np.ndarray, int, float, float]:
    """The contribution of each token to the log-odds of a class.

    Parameters
    ----------
    net : SNLIBertClassifier
    input_ids, masked_ids, segment_ids : ndarray of int32, shape (length,)
        A pair; the baseline to compare it with; segments of both.
    ctx : Context
    target : int or None
        The class, by default the most probable one.

    Returns
    -------
    contributions : ndarray of float64, shape (length,)
    target : int
    log_odds, log_odds_masked : float
        Of that class, for the pair and for the baseline.
    """
    words, masked = (
        net.bert.word_embed(mx.nd.array([ids], ctx, dtype="int32")).asnumpy()[0] for ids in (input_ids, masked_ids)
    )
    nodes, weights = np.polynomial.legendre.leggauss(_POINTS)
    places = np.array([1, *(nodes + 1) / 2, 0], np.float32)  # and both ends, for their logits
    weights = np.array([0, *weights / 2, 0])
    gradient = np.zeros(words.shape)
    odds: List[float] = []
    size = max(1, _TOKENS_AT_ONCE // len(input_ids))
    for start in range(0, len(places), size):
        embedded = mx.nd.array(masked + places[start : start + size, None, None] * (words - masked), ctx)
        embedded.attach_grad()
        with mx.autograd.record(train_mode=False):
            logits = logits_of(net, embedded, segment_ids)
        values = logits.asnumpy().astype(np.float64)
        target = int(values[0].argmax()) if target is None else target
        some_odds, slopes = _log_odds(values, target)
        odds += some_odds.tolist()
        logits.backward(mx.nd.array(slopes, ctx))
        gradient += np.tensordot(weights[start : start + size], embedded.grad.asnumpy(), 1)
    assert target is not None  # set from the first logits
    return (gradient * (words - masked)).sum(axis=1), target, odds[0], odds[-1]


def logits_of(net: SNLIBertClassifier, embedded: mx.nd.NDArray, segment_ids: np.ndarray) -> mx.nd.NDArray:
    """Logits of a pair from embeddings of its words, in several versions.

    Parameters
    ----------
    net : SNLIBertClassifier
    embedded : NDArray of float32, shape (versions, length, units)
        Of the words alone; segments and positions are added here.
    segment_ids : ndarray of int32, shape (length,)

    Returns
    -------
    NDArray of float32, shape (versions, num_classes)
    """
    versions, length, _ = embedded.shape
    if net.has_segments:
        segments = net.bert.token_type_embed(mx.nd.array([segment_ids], embedded.context, dtype="int32"))
        embedded = mx.nd.broadcast_add(embedded, segments)
    valid_length = mx.nd.full((versions,), length, embedded.context)
    encoded, _ = net.bert.encoder(embedded.transpose((1, 0, 2)), valid_length=valid_length)
    return net.classify(encoded.transpose((1, 0, 2)))


def _log_odds(logits: np.ndarray, target: int) -> Tuple[np.ndarray, np.ndarray]:
    """Log-odds of a class, and their derivatives with respect to the logits; float64, shapes (n,) and (n, classes)."""
    others = np.delete(np.arange(logits.shape[1]), target)
    highest = logits[:, others].max(axis=1, keepdims=True)
    powers = np.exp(logits[:, others] - highest)
    slopes = np.ones_like(logits)
    slopes[:, others] = -powers / powers.sum(axis=1, keepdims=True)
    return logits[:, target] - highest[:, 0] - np.log(powers.sum(axis=1)), slopes


def _parts(tokenizer: Any, text: str, values: np.ndarray) -> List[Part]:
    """The words of a text as in the input, each with the sum of its tokens' contributions."""
    parts, start = [], 0
    for word, number in tokenizer.words(text):
        end = start + number
        is_seen = start < min(end, len(values))
        parts.append(Part(word, float(values[start:end].sum()) if is_seen else None))
        start = end
    return parts
