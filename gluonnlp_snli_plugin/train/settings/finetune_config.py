"""The settings of fine-tuning."""

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Dict, Iterator, Mapping, Optional, Sequence, Tuple, Union

from ...data.assignments import Assignments, in_words, listed
from ...errors import UsageError
from .config import RunConfig, option, option_name
from .scored_files import as_scored_texts, complaints_about, require_scored_moved, scored_file, split_scored_path
from .training_files import (
    TrainingFile,
    as_texts,
    complaints,
    exactly,
    may_be_corpus,
    require_moved,
    require_same_classes,
    split_path,
)
from .training_files import training_file as training_file_of

if TYPE_CHECKING:
    from ...data.schema import PairSchema

_OF_EVALUATION = ("dev_file", "test_file")
_FILES = ("train_file", *_OF_EVALUATION)
_CLASSES = "NAME,NAME,..."
_TOGETHER = "--train-file and --dev-file go together"
_NO_CORPUS = "--corpus-root is for corpora, and only files are given: omit it, or name a corpus, TASK:SEGMENT"

# What suits the embedded sample: a small BERT that starts from random weights.
_SAMPLE_SETTINGS = {
    "backbone": "bert_2_256_4",
    "head": "mlp",
    "max_len": 64,
    "dropout": 0.0,
    "epochs": 8,
    "lr": 3e-4,
    "warmup_ratio": 0.3,
    "optimizer": "adam",
    "weight_decay": 0.0,
}


@dataclasses.dataclass(frozen=True)
class FinetuneConfig(RunConfig):
    """Settings of one fine-tuning run."""

    COMMAND: ClassVar[str] = "finetune"
    DATA_FILES: ClassVar[Tuple[str, ...]] = ("train_file", "dev_file", "test_file", "corpus_root", "init_from")
    FIGURES: ClassVar[Tuple[str, ...]] = ("dev_accuracy", "best_epoch", "train_pairs_per_second", "seconds")
    PATHS: ClassVar[Tuple[str, ...]] = (*DATA_FILES, "vocab")

    task: str = option("SNLI", "what to learn; see list tasks", metavar="NAME")
    sample: bool = option(False, "train on the embedded synthetic sample, a small BERT from scratch")
    train_file: Union[str, Mapping[str, float], Sequence[str], None] = option(
        (),
        "pairs to train on: JSON lines, JSON, TSV or CSV (default: the task's corpus); several are mixed, F=0.5 takes "
        "half of F in each epoch, TASK:F reads F as another task says, TASK:train is the corpus of that task",
        nargs="+",
        metavar="F",
    )
    dev_file: Union[str, Sequence[str], None] = option(
        (),
        "pairs to choose the best model by; of several, by the first, and the others are scored at the end",
        nargs="+",
        metavar="F",
    )
    test_file: Union[str, Sequence[str], None] = option(
        (),
        "pairs to score once at the end; TASK:F reads F as another task says, TASK:dev is that part of its corpus",
        nargs="+",
        metavar="F",
    )
    corpus_root: Optional[str] = option(
        None,
        "folder of the corpora (default: each in its own in $MXNET_HOME/datasets)",
        metavar="D",
        names=("--corpus-root", "--snli-root"),
    )
    columns: Union[str, Mapping[str, str], None] = option(
        None,
        "names of columns that are not recognized: premise=NAME,hypothesis=NAME,label=NAME",
        metavar="C",
    )
    labels: Union[str, Mapping[str, str], Sequence[str], None] = option(
        None,
        "classes of your own: NAME,NAME,...; or the meaning of unknown labels, such as numbers: SPELLING=CLASS,...",
        metavar="L",
    )
    classes: Union[str, Sequence[str], None] = option(
        None, "classes of your own, NAME,NAME,..., where --labels says what the labels in files mean", metavar="C"
    )
    on_bad_row: str = option("error", "what to do with a row that cannot be used", choices=("error", "skip"))

    init_from: Optional[str] = option(
        None,
        "start from this fine-tuned model, an output folder or what evaluate takes, with its head if the classes are "
        "the same",
        metavar="OUT",
    )
    dataset_name: Optional[str] = option(None, "which weights and vocabulary of the model store", metavar="NAME")
    vocab: Optional[str] = option(
        None, "train from scratch with this vocabulary: a file, or a name in the store", metavar="V"
    )
    cased: bool = option(False, "the vocabulary file given with --vocab is cased")
    head: Optional[str] = option(
        None,
        "mlp: two layers on the encoding of the first token, with ReLU between them; roberta: the same with tanh; "
        "pooled: one on BERT's pooled output; mean: one on the mean over all tokens; see list heads (default: roberta "
        "for a RoBERTa, mlp for others)",
        metavar="NAME",
    )
    hidden_units: int = option(256, "units of the mlp head's first layer")
    truncation: str = option(
        "longest_first", "which sentence is cut in a pair that is too long; see list truncations", metavar="NAME"
    )

    epochs: int = option(3, "passes over the training pairs")
    early_stop: int = option(0, "stop after this many evaluations without a better score; 0 for never")

    @classmethod
    def of(cls, **options: Any) -> "RunConfig":
        given = cls._settings(options)
        if given.get("init_from") or given.get("head") is None:
            cls.check_values(**options)  # before the model, or the store, is read
            from ..initial_model import settings_with_model

            given = settings_with_model(given)
        return cls(**given)

    @classmethod
    def typed(cls, options: Dict[str, Any]) -> Dict[str, Any]:
        given = cls._renamed(options)
        if "train_file" in given:
            given["train_file"] = as_texts(given["train_file"])
        given.update(
            (name, as_scored_texts(option_name(name), given[name])) for name in _OF_EVALUATION if name in given
        )
        return super().typed(given)

    @classmethod
    def upgraded(cls, recorded: Dict[str, Any]) -> Dict[str, Any]:
        settings = cls._renamed(recorded)
        file = settings.get("train_file", ())
        if file is None or isinstance(file, str):  # there could be one
            settings["train_file"] = [exactly(file)] if file else []
        for name in _OF_EVALUATION:
            file = settings.get(name)
            if file is None or isinstance(file, str):  # of exactly this name
                settings[name] = list(as_scored_texts(option_name(name), Path(file))) if file else []
        return settings

    @classmethod
    def _renamed(cls, settings: Dict[str, Any]) -> Dict[str, Any]:
        """Settings by their current names."""
        found = dict(settings)
        if "snli_root" in found:
            old, new = found.pop("snli_root"), found.get("corpus_root")
            if old and new:
                raise UsageError("corpus_root and snli_root are the same setting: omit snli_root")
            found["corpus_root"] = new or old
        return found

    @classmethod
    def split_path(cls, name: str, value: str) -> Tuple[str, str, str]:
        if name in _OF_EVALUATION:
            return split_scored_path(value)
        return split_path(value) if name == "train_file" else super().split_path(name, value)

    @classmethod
    def require_moved(cls, name: str, then: Any, now: Any) -> None:
        super().require_moved(name, then, now)
        if name == "train_file":
            require_moved(option_name(name), then, now, training_file_of)
        if name in _OF_EVALUATION:
            require_scored_moved(option_name(name), then, now)

    @property
    def training_files(self) -> Tuple[TrainingFile, ...]:
        """What to train on; empty for the corpus of the task."""
        return tuple(map(training_file_of, self.train_file or ()))

    @property
    def own_classes(self) -> Optional[Tuple[str, ...]]:
        """The classes that the user names; None for those of the task."""
        option, given = ("--classes", self.classes) if self.classes else ("--labels", self.labels)
        return listed(option, given, _CLASSES)  # type: ignore[arg-type]  # a str, as on the command line

    @property
    def spellings(self) -> Assignments:
        """What the labels in files mean, as :class:`.PairReader` takes it."""
        return None if self.own_classes and not self.classes else self.labels  # type: ignore[return-value]

    @property
    def schema(self) -> "PairSchema":
        """The classes of the run, in the order of the logits, and how files are read."""
        from ...tasks.task import find_task, schema_of

        if self.own_classes is None:
            return find_task(self.task).schema
        return schema_of(self.own_classes, self.task)._replace(labels=self.own_classes)

    def _check_names(self) -> None:
        from ...data import truncation as truncations  # imports MXNet, which parsing options does not need
        from ...data.reader import PairReader
        from ...data.reader.labels import NoClass
        from ...data.schema import problem_of_classes
        from ...model.heads import head_named
        from ...tasks.task import find_task

        truncations.create(self.truncation)
        head_named(self.head or "")
        task, schema = find_task(self.task), self.schema
        problem = self.own_classes and problem_of_classes(self.own_classes, schema.no_label)
        if problem:
            raise UsageError(f"{'--classes' if self.classes else '--labels'} {problem}")
        try:
            PairReader("", self.on_bad_row, columns=self.columns, labels=self.spellings, schema=schema)
        except NoClass as error:
            hint = "" if self.classes else f" (--classes {_CLASSES} names classes of your own)"
            raise UsageError(f"{error}{hint}") from None
        self._check_training_files()
        given = {"train": self.train_file, "dev": self.dev_file}
        lacking = [use for use in given if not (given[use] or (task.files and task.segments(use)))]
        if lacking and not self.sample:
            what = f"no {lacking[0]} segment" if task.files else "no corpus of its own"
            raise UsageError(f"--task {task.name} has {what}: give --train-file and --dev-file")

    def _check_training_files(self) -> None:
        files = self.training_files
        require_same_classes(files, self.schema.labels)
        if not (self.dev_file or all(file.is_corpus for file in files)):
            raise UsageError(_TOGETHER)
        scored = map(scored_file, (*(self.dev_file or ()), *(self.test_file or ())))
        if self.corpus_root and files and not any(file.is_corpus for file in (*files, *scored)):
            raise UsageError(_NO_CORPUS)

    @classmethod
    def usual(cls, options: Dict[str, Any]) -> Dict[str, Any]:
        return _SAMPLE_SETTINGS if options.get("sample") else {}

    @property
    def written_always(self) -> Sequence[str]:
        return ("task", "max_len", "truncation", "dropout") if self.init_from else ()  # else they are the model's

    def _complaints(self) -> Iterator[str]:
        yield from super()._complaints()
        yield from self._below(1, "hidden_units", "epochs")
        yield from self._below(0, "early_stop")
        if self.sample:
            for name in (*self.DATA_FILES, "columns", "labels", "classes", "dataset_name", "vocab"):
                if getattr(self, name):
                    yield f"--sample has its own pairs and vocabulary: omit {option_name(name)}"
            if self.task.upper() != "SNLI":
                yield "--sample has pairs of the task SNLI: omit --task"
        for name in ("columns", "labels", "classes"):
            if getattr(self, name) is not None and not str(getattr(self, name)).strip():
                yield f"{option_name(name)} is empty: write names, or omit it"
        yield from self._contradictions_of_classes()
        yield from complaints(self.train_file or ())  # type: ignore[arg-type]  # texts, as on the command line
        for name in _OF_EVALUATION:
            yield from complaints_about(option_name(name), getattr(self, name) or ())
        may_be_corpora = bool(self.train_file) and all(map(may_be_corpus, self.train_file or ()))
        if bool(self.train_file) != bool(self.dev_file) and not may_be_corpora:
            yield _TOGETHER
        if self.test_file and not self.train_file:
            yield "--test-file goes with --train-file and --dev-file"
        given = [text for name in _FILES for text in getattr(self, name) or ()]
        if self.corpus_root and self.train_file and not any(map(may_be_corpus, given)):
            yield _NO_CORPUS
        if self.init_from:
            yield from self._contradictions_of_model(self.init_from)
        if self.dataset_name and self.vocab:
            yield "--dataset-name has its own vocabulary: omit --vocab"
        if self.cased and not self.vocab:
            yield "--cased describes the vocabulary given with --vocab: give --vocab too"

    def _contradictions_of_model(self, model: str) -> Iterator[str]:
        names = ["vocab", "cased"]
        if os.path.isdir(model):  # a .params file does not say which vocabulary
            names += ["dataset_name", "backbone"]
        for name in names:
            if getattr(self, name):
                yield f"--init-from {model} has a backbone and a vocabulary: omit {option_name(name)}"
        model, output = os.path.realpath(model), os.path.realpath(self.output_dir)
        if os.path.commonpath([model, output]) == output:
            yield f"--init-from {self.init_from} is in --output-dir {self.output_dir}: give another --output-dir"

    def _contradictions_of_classes(self) -> Iterator[str]:
        if self.classes and not self.labels:
            yield (
                "--classes goes with --labels SPELLING=CLASS,...; where files spell the classes by their names, write "
                "--labels NAME,NAME,... alone"
            )
        if self.classes and listed("--labels", self.labels, "SPELLING=CLASS,..."):  # type: ignore[arg-type]
            yield "--labels and --classes both name classes: omit --classes, or write --labels SPELLING=CLASS,..."
        if self.classes and self.own_classes is None:
            yield f"--classes names classes: write --classes {_CLASSES}"
        if self.own_classes is None:
            return
        if len(self.own_classes) < 2:
            option, hint = ("--classes", "") if self.classes else ("--labels", " (spellings are SPELLING=CLASS,...)")
            yield f"{option} names one class, {self.own_classes[0]!r}; a classifier needs at least 2{hint}"
        if not self.train_file:
            yield f"there is no corpus with the classes {in_words(self.own_classes)}: give --train-file and --dev-file"
        if self.task.upper() != "SNLI":
            yield f"--task {self.task} has classes of its own: omit --task, or the names of other classes"
