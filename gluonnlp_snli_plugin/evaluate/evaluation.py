"""Scores a fine-tuned model on labelled pairs, or several models whose probabilities are averaged."""

import dataclasses
import time
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Union

import mxnet as mx
import numpy as np

from ..data.assignments import Assignments, in_words
from ..data.cache import EncodedFile, encode_file
from ..data.encoding import EncodedPairs
from ..data.losses import tell_left_out, tell_truncated
from ..errors import UsageError
from ..formats.model_folder import weights_sha256
from ..model.inference import probabilities
from ..tasks.task import schema_of
from .predictions import Pairs, PathLike, Predictions, read_record, write_predictions
from .predictor import Predictor
from .scores import Evaluation


class Answers(NamedTuple):
    """The predictions of one model or several for the pairs of a file."""

    file: str
    predictions: Predictions  #: of the average, if there are several models
    members: List[Evaluation]  #: of each model alone

    @property
    def evaluation(self) -> Evaluation:
        """The scores of the predictions."""
        return self.predictions.evaluation


def evaluate(
    model: Union[PathLike, Predictor, Sequence[Union[PathLike, Predictor]]],
    file: PathLike,
    on_bad_row: str = "error",
    contexts: Optional[List[mx.Context]] = None,
    batch_size: int = 64,
    dataset_name: Optional[str] = None,
    backbone: Optional[str] = None,
    dtype: str = "float32",
    native: bool = True,
    engine: str = "auto",
    columns: Assignments = None,
    labels: Assignments = None,
) -> Evaluation:
    """Score a fine-tuned model on the labelled pairs of a file.

    Parameters
    ----------
    model : str, Path, Predictor, or list of them
        Output folder of ``finetune``, a ``.params`` file of a ``gluonnlp.model.BERTClassifier``, or a predictor. The
        prediction of several is the class with the highest mean probability.
    file : str or Path
        Labelled pairs; see :class:`.PairReader` for the formats.
    on_bad_row : {'error', 'skip'}, default 'error'
    contexts : list of Context or None
        Devices to use, default CPU; ignored with a predictor.
    batch_size : int, default 64
    dataset_name, backbone : str or None
        Of a ``.params`` file, see :meth:`Predictor.load`.
    dtype : str, default 'float32'
    native : bool, default True
    engine : {'auto', 'mxnet', 'xla'}, default 'auto'
        How to compute, ignored with a predictor; see :class:`Predictor`.
    columns, labels : dict of str to str, or None
        Names of columns and meanings of labels that are not recognized, as :class:`.PairReader` takes them.

    Returns
    -------
    Evaluation
    """
    models: Sequence[Any] = model if isinstance(model, (list, tuple)) else [model]
    predictors = [
        one
        if isinstance(one, Predictor)
        else Predictor.load(one, contexts, batch_size, dataset_name, backbone, dtype, native, engine)
        for one in models
    ]
    (answers,) = ask(predictors, [file], on_bad_row, columns, labels)
    return answers.evaluation


def ask(
    predictors: Sequence[Predictor],
    files: Sequence[PathLike],
    on_bad_row: str = "error",
    columns: Assignments = None,
    labels: Assignments = None,
) -> List[Answers]:
    """The predictions of models for the labelled pairs of files; rows left out and pairs truncated are logged.

    Gold labels and predictions are numbered in the order of the task's classes, whatever the order of a model's.

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
    UsageError
        If the models do not have the same classes.
    """
    if not predictors:
        raise UsageError("no model is given")
    first, *others = predictors
    for other in others:
        if sorted(other.labels) != sorted(first.labels):
            raise UsageError(
                f"the models have different classes: {in_words(first.labels)} against {in_words(other.labels)}"
            )
    schema = schema_of(first.labels, first.settings.task)
    found = [encode_file(first.encoder, file, on_bad_row, True, columns, labels, schema) for file in files]
    for file, one in zip(files, found):
        tell_left_out(file, len(one.encoded), one)
    return [_answers(first, others, file, one, schema.labels) for file, one in zip(files, found)]


def _answers(
    first: Predictor, others: List[Predictor], file: PathLike, found: EncodedFile, labels: Sequence[str]
) -> Answers:
    assert found.texts is not None and found.encoded.labels is not None
    gold, begin = found.encoded.labels, time.perf_counter()
    pairs = Pairs.of(found.texts, gold, first.encoder, labels)
    members = [_probabilities(first, found.encoded, labels)]
    truncated = pairs.truncated
    for predictor in others:
        members.append(_probabilities(predictor, predictor.encoder.encode(*found.texts), labels))
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
    pairs = dataclasses.replace(pairs, truncated=truncated)
    return Answers(
        str(file),
        Predictions.of(pairs, np.mean(members, axis=0), **about),
        [Evaluation.of(gold, member.argmax(axis=1), labels) for member in members],
    )


def _probabilities(predictor: Predictor, encoded: EncodedPairs, labels: Sequence[str]) -> np.ndarray:
    """Probabilities of encoded pairs; ndarray of float64, shape (n, classes), columns in the order of `labels`."""
    columns = [predictor.labels.index(label) for label in labels]  # the model may have them in another order
    return probabilities(predictor.logits(encoded)[:, columns].astype(float))


def keep(folder: PathLike, answers: Answers, dtype: str = "float32") -> None:
    """Save a model's predictions in its output folder, as ``predictions/NAME.jsonl``.

    NAME is that of the file with the pairs, followed by the first digits of its hash if other pairs have that name.

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
    about: Dict[str, Any] = {**answers.predictions.about, "weights": weights_sha256(folder), "dtype": dtype}
    name = Path(answers.file).stem
    there = read_record(folder, name)
    if there and any(there.get(key) != about[key] for key in ("sha256", "dtype")):
        name = f"{name}-{dtype}-{about['sha256'][:8]}"
    write_predictions(folder, name, Predictions(**{**vars(answers.predictions), "about": about}))
