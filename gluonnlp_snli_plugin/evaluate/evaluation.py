"""Scores a fine-tuned model on labelled pairs, or several models whose probabilities are averaged."""

import dataclasses
import os
import time
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Union

import mxnet as mx
import numpy as np

from ..data.assignments import Assignments, in_words
from ..data.encoding import EncodedPairs
from ..data.losses import tell_left_out, tell_merged, tell_truncated
from ..errors import DataError, UsageError
from ..formats.model_folder import weights_sha256
from ..model.inference import probabilities
from ..tasks.common_classes import CommonClasses
from ..tasks.task import classes_of
from .labelled_pairs import LabelledPairs, Read, read, segments_of
from .predictions import Pairs, PathLike, Predictions, read_predictions, read_record, write_predictions
from .predictor import Predictor
from .scores import Evaluation


class Answers(NamedTuple):
    """The predictions of one model or several for the pairs of a file."""

    file: str
    predictions: Predictions  #: of the average, if there are several models
    members: List[Evaluation]  #: of each model alone
    name: str = ""  #: of a segment of a corpus

    @property
    def evaluation(self) -> Evaluation:
        """The scores of the predictions."""
        return self.predictions.evaluation


def evaluate(
    model: Union[PathLike, Predictor, Sequence[Union[PathLike, Predictor]]],
    file: Optional[PathLike] = None,
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
    by: Union[str, Sequence[str], None] = (),
    task: Optional[str] = None,
    segment: Optional[str] = None,
    corpus_root: Optional[PathLike] = None,
) -> Evaluation:
    """Score a fine-tuned model on the labelled pairs of a file, or of a corpus.

    On a file with two classes, entailment or not, a three-class model is scored by the sum of its probabilities of
    contradiction and neutral; on a file with three, these two labels count as one class for a two-class model.

    Parameters
    ----------
    model : str, Path, Predictor, or list of them
        Output folder of ``finetune``, a ``.params`` file of a ``gluonnlp.model.BERTClassifier``, or a predictor. The
        prediction of several is the class with the highest mean probability.
    file : str, Path or None
        Labelled pairs; see :class:`.PairReader` for the formats. None for those of a corpus.
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
    by : str, list of str, or None
        Columns of the file, 'genre' for example: the scores of the pairs with each value of it are in ``by`` of the
        result.
    task : str or None
        The task whose corpus to read, or whose columns and labels a file has; default the model's own.
    segment : str or None
        The segment of the corpus, default the first one for evaluation.
    corpus_root : str, Path or None
        The folder of the corpus, default its own in ``$MXNET_HOME/datasets``.

    Returns
    -------
    Evaluation

    Raises
    ------
    DataError
        If the pairs cannot be used.
    UsageError
        If the arguments make no sense, or the classes of model and file cannot be compared.
    """
    pairs: Any = file
    for name, value in (("file", file), ("segment", segment)):
        if not (value is None or isinstance(value, (str, os.PathLike))):
            raise UsageError(f"{name} is {value!r}; evaluate scores one: call it for each")
    if file is None:
        if task is None:
            raise UsageError("which pairs? give a file, or the task whose corpus to read")
        pairs = segments_of(task, segment, corpus_root)[0]
    elif segment or corpus_root:
        raise UsageError("segment and corpus_root belong to the corpus of a task: omit them, or omit file")
    models: Sequence[Any] = model if isinstance(model, (list, tuple)) else [model]
    predictors = [
        one
        if isinstance(one, Predictor)
        else Predictor.load(one, contexts, batch_size, dataset_name, backbone, dtype, native, engine)
        for one in models
    ]
    (answers,) = predict_files(
        predictors, [pairs], on_bad_row, columns, labels, [by] if isinstance(by, str) else by or (), task
    )
    return answers.evaluation


def predict_files(
    predictors: Sequence[Predictor],
    files: Sequence[Union[PathLike, LabelledPairs]],
    on_bad_row: str = "error",
    columns: Assignments = None,
    labels: Assignments = None,
    by: Sequence[str] = (),
    task: Optional[str] = None,
) -> List[Answers]:
    """The predictions of models for labelled pairs; rows left out, pairs truncated and classes merged are logged.

    Gold labels and predictions are numbered in the order of the task's classes, whatever the order of a model's; or in
    the classes that model and file have in common.

    Parameters
    ----------
    predictors : list of Predictor
        The probabilities of several are averaged.
    files : list of str, Path or LabelledPairs
    on_bad_row : {'error', 'skip'}, default 'error'
    columns, labels : str, mapping or None
        As :class:`.PairReader` takes them.
    by : sequence of str
        Columns of the files to score by.
    task : str or None
        The task that the files are of; default that of the models.

    Returns
    -------
    list of Answers
        One for each file.

    Raises
    ------
    DataError
        If a file cannot be used; before any pair is scored.
    UsageError
        If the models do not have the same classes, or the files have others.
    """
    if not predictors:
        raise UsageError("no model is given")
    first, *others = predictors
    for other in others:
        if sorted(other.labels) != sorted(first.labels):
            raise UsageError(
                f"the models have different classes: {in_words(first.labels)} against {in_words(other.labels)}"
            )
    model = classes_of(first.labels, first.settings.task)
    sets = [one if isinstance(one, LabelledPairs) else LabelledPairs.of_file(one) for one in files]
    found = [read(first.encoder, one, model, task, on_bad_row, columns, labels, by) for one in sets]
    for one in found:
        tell_left_out(one.pairs, len(one.file.encoded), one.file)
        tell_merged(one.classes_of(first.labels).remark)
    return [_answers(first, others, one) for one in found]


def _answers(first: Predictor, others: List[Predictor], read: Read) -> Answers:
    found, file, begin = read.file, read.pairs, time.perf_counter()
    assert found.texts is not None and found.encoded.labels is not None
    classes = read.classes_of(first.labels)
    labels, gold = classes.labels, classes.gold(found.encoded.labels)
    pairs = Pairs.of(found.texts, gold, first.encoder, labels, read.fields)
    members = [_probabilities(first, found.encoded, classes)]
    truncated = pairs.truncated
    for predictor in others:
        encoded = predictor.encoder.encode(*found.texts)
        members.append(_probabilities(predictor, encoded, read.classes_of(predictor.labels)))
        truncated = truncated | (predictor.encoder.lengths(*found.texts) > predictor.encoder.max_len)
    max_len = min(predictor.encoder.max_len for predictor in (first, *others))
    tell_truncated(file, int(truncated.sum()), len(pairs), max_len)
    about = {
        "source": str(file),
        "sha256": found.sha256,
        "rows_without_gold_label": found.num_unlabelled,
        "bad_rows_left_out": found.num_bad,
        "pairs_per_second": round(len(pairs) / (time.perf_counter() - begin), 2),
        **({"remark": classes.remark} if classes.remark else {}),
    }
    pairs = dataclasses.replace(pairs, truncated=truncated)
    return Answers(
        str(file),
        Predictions.of(pairs, np.mean(members, axis=0), **about),
        [Evaluation.of(gold, member.argmax(axis=1), labels) for member in members],
        file.name,
    )


def _probabilities(predictor: Predictor, encoded: EncodedPairs, classes: CommonClasses) -> np.ndarray:
    """Probabilities of encoded pairs; ndarray of float64, shape (n, classes)."""
    return probabilities(classes.logits(predictor.logits(encoded).astype(float)))


def save_answers(folder: PathLike, answers: Answers, dtype: str = "float32") -> None:
    """Save a model's predictions in its output folder, as ``predictions/NAME.jsonl``.

    NAME is that of the file with the pairs, or of the corpus and the segment, followed by the first digits of its hash
    if other pairs have that name. Predictions for the same pairs are replaced; the columns that these were scored by
    are kept.

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
    name = answers.name or Path(answers.file).stem
    there = read_record(folder, name)
    if there and any(there.get(key) != about[key] for key in ("sha256", "dtype")):
        name = f"{name}-{dtype}-{about['sha256'][:8]}"
        there = read_record(folder, name)
    pairs = answers.predictions.pairs
    if there:
        pairs = dataclasses.replace(pairs, fields={**_fields_there(folder, name, pairs), **pairs.fields})
    write_predictions(folder, name, dataclasses.replace(answers.predictions, pairs=pairs, about=about))


def _fields_there(folder: PathLike, name: str, pairs: Pairs) -> Mapping[str, Sequence[str]]:
    """The columns of the predictions saved under a name; none if these are for other pairs, or damaged."""
    try:
        there = read_predictions(folder, name).pairs
    except DataError:
        return {}
    is_same = (there.premises, there.hypotheses) == (pairs.premises, pairs.hypotheses)
    return there.fields if is_same else {}
