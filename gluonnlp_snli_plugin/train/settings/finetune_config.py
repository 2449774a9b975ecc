"""The settings of fine-tuning."""

import dataclasses
from typing import Any, ClassVar, Dict, Iterator, Optional, Tuple

from ...errors import UsageError
from .config import RunConfig, option, option_name

# What suits the embedded sample: a small BERT that starts from random weights.
_SAMPLE_SETTINGS = {
    "backbone": "bert_2_256_4",
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
    DATA_FILES: ClassVar[Tuple[str, ...]] = ("train_file", "dev_file", "test_file", "snli_root")
    FIGURES: ClassVar[Tuple[str, ...]] = ("dev_accuracy", "best_epoch", "train_pairs_per_second", "seconds")
    PATHS: ClassVar[Tuple[str, ...]] = (*DATA_FILES, "vocab")

    task: str = option("SNLI", "what to learn; see list tasks", metavar="NAME")
    sample: bool = option(False, "train on the embedded synthetic sample, a small BERT from scratch")
    train_file: Optional[str] = option(
        None, "pairs to train on: JSON lines, JSON, TSV or CSV (default: the task's corpus)", metavar="F"
    )
    dev_file: Optional[str] = option(None, "pairs to choose the best model by", metavar="F")
    test_file: Optional[str] = option(None, "pairs to score once at the end", metavar="F")
    snli_root: Optional[str] = option(
        None,
        "folder of the task's corpus (default: its own in $MXNET_HOME/datasets)",
        metavar="D",
        names=("--corpus-root", "--glue-root", "--snli-root"),
    )
    columns: Optional[str] = option(
        None,
        "names of columns that are not found by themselves: premise=NAME,hypothesis=NAME,label=NAME",
        metavar="C",
    )
    labels: Optional[str] = option(
        None, "what labels mean that are not known, such as numbers: SPELLING=CLASS,...", metavar="L"
    )
    on_bad_row: str = option("error", "what to do with a row that cannot be used", choices=("error", "skip"))

    dataset_name: Optional[str] = option(None, "which weights and vocabulary of the model store", metavar="NAME")
    vocab: Optional[str] = option(
        None, "train from scratch with this vocabulary: a file, or a name in the store", metavar="V"
    )
    cased: bool = option(False, "the vocabulary in the file given with --vocab is a cased one")
    head: str = option(
        "mlp",
        "mlp: two layers on the encoding of [CLS]; pooled: one on BERT's pooled output; mean: one on the mean over all "
        "tokens; see list heads",
        metavar="NAME",
    )
    hidden_units: int = option(256, "units of the mlp head's first layer")
    truncation: str = option("longest_first", "what gives way in a longer pair; see list truncations", metavar="NAME")

    epochs: int = option(3, "passes over the training pairs")
    early_stop: int = option(0, "stop after this many evaluations without a better score; 0 for never")

    def _check_names(self) -> None:
        from ...data import truncation as truncations  # imports MXNet, which parsing options does not need
        from ...data.reader import PairReader
        from ...model.heads import head_named
        from ...tasks.task import find_task

        truncations.create(self.truncation)
        head_named(self.head)
        task = find_task(self.task)
        PairReader("", self.on_bad_row, columns=self.columns, labels=self.labels, schema=task.schema)
        lacking = [use for use in ("train", "dev") if not (task.files and task.segments(use))]
        if lacking and not (self.sample or self.train_file):
            what = f"no {lacking[0]} segment" if task.files else "no corpus of its own"
            raise UsageError(f"--task {task.name} has {what}: give --train-file and --dev-file")

    @classmethod
    def usual(cls, options: Dict[str, Any]) -> Dict[str, Any]:
        return _SAMPLE_SETTINGS if options.get("sample") else {}

    def _complaints(self) -> Iterator[str]:
        yield from super()._complaints()
        yield from self._below(1, "hidden_units", "epochs")
        yield from self._below(0, "early_stop")
        if self.sample:
            for name in (*self.DATA_FILES, "columns", "labels", "dataset_name", "vocab"):
                if getattr(self, name):
                    yield f"--sample has its own pairs and vocabulary: omit {option_name(name)}"
            if self.task.upper() != "SNLI":
                yield "--sample has pairs of the task SNLI: omit --task"
        if bool(self.train_file) != bool(self.dev_file):
            yield "--train-file and --dev-file go together"
        if self.test_file and not self.train_file:
            yield "--test-file goes with --train-file and --dev-file"
        if self.snli_root and self.train_file:
            yield "--corpus-root names all files of a corpus: omit --train-file, --dev-file and --test-file"
        if self.dataset_name and self.vocab:
            yield "--dataset-name has its own vocabulary: omit --vocab"
        if self.cased and not self.vocab:
            yield "--cased describes the vocabulary given with --vocab: give --vocab too"
