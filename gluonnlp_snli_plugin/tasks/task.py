"""What is learned: a task of labelled sentence pairs as one object, and its registration."""

import re
from typing import Any, Callable, ClassVar, Dict, List, Mapping, Optional, Sequence, Tuple, Type, TypeVar, Union

import mxnet as mx
import numpy as np
from gluonnlp.data import classification
from gluonnlp.data.classification import GlueTask
from mxnet.gluon.data import SimpleDataset
from mxnet.metric import Accuracy, EvalMetric

from .. import registry
from ..data.losses import tell_missing_classes
from ..data.schema import ROLES, PairSchema, is_class_name
from ..errors import PluginError, UsageError
from . import nli
from .common_classes import Classes
from .dataset import PairDataset, PathLike, Place
from .download import Archive

Segment = Tuple[str, Any]
Registered = TypeVar("Registered", bound=Type["PairTask"])
_NAME = re.compile(r"[\w.-]+")


class PairTask(GlueTask):
    """A task of labelled sentence pairs. A subclass describes a task in its class attributes; :func:`register` offers
    it by name.

    Parameters
    ----------
    root : str or None
        Folder of the corpus, default ``$MXNET_HOME/datasets/`` and `folder`.
    files : dict of str to str, optional
        Files to read instead of the corpus, by segment.

    Attributes
    ----------
    name : str
    class_labels : sequence of str
        The classes, in the order of the logits.
    label_alias : dict of str to str
        Other spellings of the labels in files; upper and lower case are the same.
    entailment : str or None
        The class that means entailment, where all others mean that there is none: a model of such a task can be scored
        on the files of others of another number of classes. By default 'entailment', if the others are called as in
        corpora of inference.
    no_label : tuple of str
        Spellings of "no gold label"; the first is shown in messages.
    columns : dict of str to tuple of str
        The names that the columns 'premise', 'hypothesis' and 'label' have in files.
    own_columns : tuple of str
        Premise, hypothesis and label of the corpus itself: a file that has them all is read by them.
    files : dict of str to tuple of str or Place
        The segments and where the file of each is in the folder of the corpus, the preferred place first. A
        :class:`.Place` is several files, or some rows of a file. Segments of evaluation begin with 'dev' or 'test'.
        Empty for a task without a corpus.
    folder : str
        The folder of the corpus in ``$MXNET_HOME/datasets``, default the name of the task in lower case.
    archive : Archive or None
        Where to download the corpus.
    page : str or None
        The web page of a corpus that is not downloaded, for the message about a missing file.
    metric : callable
        Makes the metric of GluonNLP's scripts. The best model of a run has the highest first figure of it; what it
        measures besides accuracy is in the summary.
    dataset : type
        The :class:`.PairDataset` of the task, made from the description unless the subclass names one.
    schema : PairSchema
        Labels, spellings and columns, as :class:`.PairReader` takes them.
    classes : Classes
        The schema, and which class means entailment.

    Raises
    ------
    UsageError
        When a subclass is defined whose description is not consistent.
    """

    name: ClassVar[str] = ""
    class_labels: Sequence[str] = ()
    label_alias: Mapping[str, str] = {}
    entailment: ClassVar[Optional[str]] = None
    no_label: ClassVar[Tuple[str, ...]] = nli.NO_LABEL
    columns: ClassVar[Mapping[str, Tuple[str, ...]]] = nli.COLUMNS
    own_columns: ClassVar[Tuple[str, ...]] = nli.SNLI_COLUMNS
    files: ClassVar[Mapping[str, Tuple[Union[str, Place], ...]]] = {}
    folder: ClassVar[str] = ""
    archive: ClassVar[Optional[Archive]] = None
    page: ClassVar[Optional[str]] = None
    metric: ClassVar[Callable[[], EvalMetric]] = Accuracy
    dataset: ClassVar[Type[PairDataset]]
    schema: ClassVar[PairSchema]
    classes: ClassVar[Classes]
    #: Where segments come from if neither file nor root is given: a folder, or files by segment, and how these are
    #: written. If some files are named, a segment without one has no pairs.
    source: ClassVar[Dict[str, Any]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for problem in _problems(cls):
            raise UsageError(f"task {cls.name or cls.__name__!r}: {problem}")
        cls.schema = PairSchema(
            tuple(cls.class_labels), dict(cls.label_alias), tuple(cls.no_label), cls.columns, tuple(cls.own_columns)
        )
        cls.classes = Classes(cls.schema, cls.entailment or nli.entailment_among(cls.schema.labels))
        cls.source = {"root": None, "files": None, "columns": None, "labels": None}
        if "dataset" not in vars(cls):
            cls.dataset = type(cls.name, (PairDataset,), {"__doc__": PairDataset.__doc__, "__module__": cls.__module__})
        cls.dataset.task = cls

    def __init__(self, root: Optional[PathLike] = None, files: Optional[Mapping[str, PathLike]] = None) -> None:
        schema = self.schema
        super().__init__(
            class_labels=list(schema.labels),
            metrics=type(self).metric(),
            is_pair=True,
            label_alias=dict(schema.label_alias),
        )
        self._root = root
        self._given: Mapping[str, PathLike] = files or {}

    @classmethod
    def segments(cls, use: str) -> List[str]:
        """The segments for a use: 'train', 'dev' or 'test'. Where a host has named files, those with one come alone."""
        named = [segment for segment in cls.source["files"] or () if segment.startswith(use)]
        return named or [segment for segment in cls.files or ("train", "dev", "test") if segment.startswith(use)]

    @classmethod
    def figures(cls, scores: np.ndarray, labels: Any) -> Dict[str, float]:
        """What the metric of the task measures besides accuracy.

        Parameters
        ----------
        scores : ndarray of float32, shape (n, classes)
            Logits.
        labels : ndarray of int32, shape (n,)

        Returns
        -------
        dict of str to float : ``{'f1': 0.9}``, say; empty for accuracy alone.

        Raises
        ------
        PluginError
            If the metric is not one of such scores.
        """
        metric = cls.metric()
        if type(metric) is Accuracy:
            return {}
        try:
            metric.update([mx.nd.array(labels)], [mx.nd.array(scores)])
            return {name: float(value) for name, value in metric.get_name_value() if name != "accuracy"}
        except (ValueError, TypeError, mx.MXNetError) as error:
            raise PluginError(f"the metric of task {cls.name} cannot measure its classes: {error}") from None

    @classmethod
    def first_figure(cls) -> str:
        """The name of what the metric of the task measures first: the best model has the highest."""
        names = cls.metric().get()[0]
        return names[0] if isinstance(names, list) else names

    def get_dataset(self, segment: str = "train") -> PairDataset:
        """The labelled pairs of a segment."""
        return self.dataset(segment, root=self._root, file=self._given.get(segment))

    def dataset_train(self) -> Segment:
        """The training pairs; logs the classes without a pair.

        Returns
        -------
        tuple of (str, PairDataset) : the segment name, and rows ``[premise, hypothesis, label]``.
        """
        dataset = self.get_dataset("train")
        tell_missing_classes(dataset.path, set(dataset.labels), self.class_labels)
        return "train", dataset

    def dataset_dev(self) -> Union[Segment, List[Segment]]:
        """The pairs to choose the best model by.

        Returns
        -------
        tuple of (str, PairDataset), or a list of them if there are several such segments
        """
        return _one_or_all([(segment, self.get_dataset(segment)) for segment in self.segments("dev")])

    def dataset_test(self) -> Union[Segment, List[Segment]]:
        """The test pairs without their labels, as GluonNLP's scripts expect of every test segment.

        Returns
        -------
        tuple of (str, SimpleDataset), or a list of them : the segment name, and rows ``[premise, hypothesis]``.
        """
        segments = self.segments("test")
        rows = [[row[:2] for row in self.get_dataset(segment)] for segment in segments]
        return _one_or_all([(segment, SimpleDataset(pairs)) for segment, pairs in zip(segments, rows)])


def register(task: Registered) -> Registered:
    """Offer a task and its dataset by its name, to GluonNLP's look-up functions and to ``--task NAME``."""
    registry.dataset(task.name, segment=list(task.files))(task.dataset)
    registry.task(task.name)(task)
    return task


def register_for_host(task: Registered) -> Registered:
    """Offer a task for ``finetune --task NAME`` alone: under its name ``nlp.data.get_task`` gives GluonNLP's own."""
    registry.task(task.name, is_hosts=True)(task)
    return task


def find_task(name: str) -> Type[PairTask]:
    """The registered task of a name.

    Raises
    ------
    UsageError
        If there is none, and lists the names; or if it is a task of GluonNLP's that does not classify pairs.
    """
    if name not in registry.task:
        _refuse_other_kinds(name)
    task = registry.task[name]
    if not (isinstance(task, type) and issubclass(task, PairTask)):
        raise UsageError(f"task {name!r} is not a PairTask: its files and labels are not known")
    return task


def _refuse_other_kinds(name: str) -> None:
    """Raise a UsageError if GluonNLP has a task of this name that is not one of pair classification."""
    try:
        task = classification.get_task(name)
    except ValueError:
        return
    kind = "" if task.is_pair else "it classifies single sentences"
    kind = kind if task.class_labels else "its answers are numbers, not classes"
    if kind:
        script = "gluonnlp-snli run with GluonNLP's finetune_classifier.py trains it"
        raise UsageError(f"{name} is not a task of pair classification: {kind}; {script}")


def schema_of(labels: Sequence[str], task: str) -> PairSchema:
    """How files are read for a model with these labels that was made for a task.

    As the task says, if it is registered here and has the same labels, in any order. Otherwise the labels are read as
    they are spelt, from columns with the usual names.
    """
    if task in registry.task:
        schema = getattr(registry.task[task], "schema", None)
        if isinstance(schema, PairSchema) and sorted(schema.labels) == sorted(labels):
            return schema
    return PairSchema(tuple(labels), {}, nli.NO_LABEL, nli.COLUMNS, nli.SNLI_COLUMNS)


def classes_of(labels: Sequence[str], task: str) -> Classes:
    """The classes of a model with these labels that was made for a task, with :func:`schema_of` them."""
    schema = schema_of(labels, task)
    described = getattr(registry.task[task], "classes", None) if task in registry.task else None
    if isinstance(described, Classes) and described.schema == schema:
        return described
    return Classes(schema, nli.entailment_among(schema.labels))


def _one_or_all(segments: List[Segment]) -> Union[Segment, List[Segment]]:
    return segments[0] if len(segments) == 1 else segments


def _problems(task: Type[PairTask]) -> List[str]:
    """What is not consistent in the description of a task."""
    labels = task.class_labels
    if not isinstance(labels, (list, tuple)) or not all(map(is_class_name, labels)):
        return [f"class_labels is {labels!r}; it must be a list of printable names"]
    spellings = [label.lower() for label in labels]
    unknown = sorted({label for label in task.label_alias.values() if label not in labels})
    checks = {
        f"its name is {task.name!r}; it must consist of letters, digits, '_', '-' and '.'": not _NAME.fullmatch(
            task.name
        ),
        f"it has {len(labels)} class_labels; a classifier needs at least 2": len(labels) < 2,
        "two of its class_labels are the same": len(set(spellings)) < len(spellings),
        f"label_alias names {', '.join(unknown)}, which is not a class": bool(unknown),
        f"entailment is {task.entailment!r}, which is not a class": task.entailment not in (None, *labels),
        "a class has a spelling of no_label": bool(set(spellings) & set(task.no_label)),
        f"columns must name {', '.join(ROLES)}": set(task.columns) != set(ROLES),
        f"own_columns must be the names of {', '.join(ROLES)}": len(task.own_columns) != len(ROLES),
    }
    return [problem for problem, is_one in checks.items() if is_one]
