"""How good a fine-tuned model is on labelled pairs, or several whose probabilities are averaged."""

import time
from pathlib import Path
from typing import List, NamedTuple

import numpy as np

from ..data.cache import encode_file
from ..data.losses import tell_left_out, tell_truncated
from ..errors import UsageError
from ..formats.model_folder import weights_sha256
from ..model.inference import probabilities
from ..tasks.snli import LABELS
from .predictions import Pairs, Predictions, read_record, write_predictions
from .predictor import Predictor
from .scores import Evaluation


class Answers(NamedTuple):
    """What one model or several say about the pairs of a file."""

    file: str
    predictions: Predictions  #: of the average, if there are several models
    members: List[Evaluation]  #: of each model alone

    @property
    def evaluation(self):
        """The scores of the answers, an :class:`.Evaluation`."""
        return self.predictions.evaluation


def evaluate(
    model,
    file,
    on_bad_row="error",
    contexts=None,
    batch_size=64,
    dataset_name=None,
    backbone=None,
    dtype="float32",
    native=True,
    columns=None,
    labels=None,
):
    """Score a fine-tuned model on the labelled pairs of a file.

    Parameters
    ----------
    model : str, Path, Predictor, or list of them
        Output folder of ``finetune``, a ``.params`` file of a ``gluonnlp.model.BERTClassifier``, or a predictor. The
        answer of several is that with the highest mean probability.
    file : str or Path
        Labelled pairs; :class:`.PairReader` says what it can be.
    on_bad_row : {'error', 'skip'}, default 'error'
    contexts : list of Context or None
        Devices to use, default CPU; of no use with a predictor.
    batch_size : int, default 64
    dataset_name, backbone : str or None
        Of a ``.params`` file, see :meth:`Predictor.load`.
    dtype : {'float32', 'bfloat16', 'int8'}, default 'float32'
    native : bool, default True
        How to compute, of no use with a predictor; see :class:`Predictor`.
    columns, labels : dict of str to str, or None
        Names of columns and meanings of labels that are not known, as :class:`.PairReader` takes them.

    Returns
    -------
    Evaluation
    """
    models = model if isinstance(model, (list, tuple)) else [model]
    predictors = [
        one
        if isinstance(one, Predictor)
        else Predictor.load(one, contexts, batch_size, dataset_name, backbone, dtype, native)
        for one in models
    ]
    (answers,) = ask(predictors, [file], on_bad_row, columns, labels)
    return answers.evaluation


def ask(predictors, files, on_bad_row="error", columns=None, labels=None):
    """What models say about the labelled pairs of files. Rows that are left out and pairs that are cut are logged.

    Parameters
    ----------
    predictors : list of Predictor
        The probabilities of several are averaged.
    files : list of str or Path
    on_bad_row : {'error', 'skip'}, default 'error'
    columns, labels : str, mapping or None
        As :class:`.PairReader` takes them.

    Returns
    -------
    list of Answers
        One for each file.

    Raises
    ------
    DataError
        If a file cannot be used; before any pair is scored.
    """
    if not predictors:
        raise UsageError("no model is given")
    first, *others = predictors
    found = [encode_file(first.encoder, file, on_bad_row, True, columns, labels) for file in files]
    for file, one in zip(files, found):
        tell_left_out(file, len(one.encoded), one)
    return [_answers(first, others, file, one) for file, one in zip(files, found)]


def _answers(first, others, file, found):
    gold, begin = found.encoded.labels, time.perf_counter()
    pairs = Pairs.of(found.texts, gold, first.encoder)
    members = [_probabilities(first, found.encoded)]
    truncated = pairs.truncated
    for predictor in others:
        members.append(_probabilities(predictor, predictor.encoder.encode(*found.texts)))
        truncated = truncated | (predictor.encoder.lengths(*found.texts) > predictor.encoder.max_len)
    max_len = min(predictor.encoder.max_len for predictor in (first, *others))
    tell_truncated(file, int(truncated.sum()), len(pairs), max_len)
    about = {
        "source": str(file),
        "sha256": found.sha256,
        "rows_without_gold_label": found.num_unlabelled,
        "bad_rows_left_out": found.num_bad,
        "pairs_per_second": round(len(pairs) / (time.perf_counter() - begin), 2),
    }
    pairs = Pairs(pairs.premises, pairs.hypotheses, gold, pairs.tokens, truncated)
    return Answers(
        str(file),
        Predictions.of(pairs, np.mean(members, axis=0), **about),
        [Evaluation.of(gold, member.argmax(axis=1)) for member in members],
    )


def _probabilities(predictor, encoded):
    """Probabilities of encoded pairs; ndarray of float64, shape (n, classes), columns in the order of ``LABELS``."""
    columns = [predictor.labels.index(label) for label in LABELS]  # the model may have them in another order
    return probabilities(predictor.logits(encoded)[:, columns].astype(float))


def keep(folder, answers, dtype="float32"):
    """Keep a model's answers in its output folder, as ``predictions/NAME.jsonl``.

    NAME is that of the file with the pairs; with the first digits of its hash, where other pairs have that name.

    Parameters
    ----------
    folder : str or Path
    answers : Answers
    dtype : {'float32', 'bfloat16', 'int8'}, default 'float32'
        How they were computed.

    Raises
    ------
    PluginError
        If they cannot be written.
    """
    about = {**answers.predictions.about, "weights": weights_sha256(folder), "dtype": dtype}
    name = Path(answers.file).stem
    there = read_record(folder, name)
    if there and any(there.get(key) != about[key] for key in ("sha256", "dtype")):
        name = f"{name}-{dtype}-{about['sha256'][:8]}"
    write_predictions(folder, name, Predictions(**{**vars(answers.predictions), "about": about}))
