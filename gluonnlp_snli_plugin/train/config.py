"""The settings of a fine-tuning run: one frozen dataclass that the command line fills and the output folder records."""

import dataclasses
from typing import Optional

from ..data.truncation import list_truncations
from ..errors import UsageError
from ..model.classifier import HEADS

DTYPES = ("float32", "float16")
OPTIMIZERS = ("bertadam", "adam")


def _option(default, help, **argparse_settings):
    return dataclasses.field(default=default, metadata={"help": help, **argparse_settings})


@dataclasses.dataclass(frozen=True)
class FinetuneConfig:
    """Settings of one fine-tuning run; each field is a command-line option of the same name.

    Raises
    ------
    UsageError
        If a setting makes no sense.
    """

    output_dir: str = _option("", "folder for the model, metrics and settings", metavar="OUT")
    overwrite: bool = _option(False, "replace the run that is in OUT")

    sample: bool = _option(False, "train on the embedded synthetic sample, a small BERT from scratch")
    train_file: Optional[str] = _option(None, "pairs to train on: SNLI's .jsonl or .txt (default: SNLI's)", metavar="F")
    dev_file: Optional[str] = _option(None, "pairs to choose the best model by", metavar="F")
    test_file: Optional[str] = _option(None, "pairs to score once at the end", metavar="F")
    snli_root: Optional[str] = _option(None, "folder of the SNLI corpus (default: $MXNET_HOME/datasets/snli)", metavar="D")
    on_bad_row: str = _option("error", "what to do with a row that cannot be used", choices=("error", "skip"))

    backbone: Optional[str] = _option(None, "BERT architecture, bert_LAYERS_UNITS_HEADS", metavar="NAME")
    dataset_name: Optional[str] = _option(None, "which weights and vocabulary of the model store", metavar="NAME")
    vocab: Optional[str] = _option(None, "train from scratch with this vocabulary: vocab.txt or a SentencePiece .model")
    cased: bool = _option(False, "the vocabulary given with --vocab is a cased one")
    head: str = _option("mlp", "mlp: two layers on the encoding of [CLS]; pooled: one on the pooled output", choices=HEADS)
    hidden_units: int = _option(256, "units of the mlp head's first layer")
    dropout: float = _option(0.1, "dropout of backbone and head")
    max_len: int = _option(128, "longest input in tokens, special tokens included")
    truncation: str = _option("longest_first", "what gives way in a longer pair", choices=tuple(list_truncations()))

    epochs: int = _option(3, "passes over the training pairs")
    batch_size: int = _option(32, "pairs a step (per process)")
    accumulate: int = _option(1, "steps whose gradients make one update")
    lr: float = _option(5e-5, "highest learning rate")
    optimizer: str = _option("bertadam", "bertadam as in GluonNLP's script, or plain adam", choices=OPTIMIZERS)
    warmup_ratio: float = _option(0.1, "share of the updates in which the learning rate rises")
    weight_decay: float = _option(0.01, "not applied to LayerNorm and bias")
    clip: float = _option(1.0, "largest global norm of the gradients; 0 for no clipping")
    early_stop: int = _option(0, "stop after this many evaluations without a better score; 0 for never")
    eval_steps: int = _option(0, "evaluate every so many updates too; 0 for after each epoch only")
    seed: int = _option(0, "of initial weights, dropout and the order of the pairs")
    dtype: str = _option("float32", "float16: mixed precision, on a GPU", choices=DTYPES)

    gpus: Optional[str] = _option(None, "GPUs to use, for example 0,1", metavar="I,J")
    devices: Optional[str] = _option(None, "devices to use, for example cpu:0,cpu:1", metavar="D,E")
    log_steps: int = _option(50, "updates between two lines of the log")

    def __post_init__(self):
        def check(holds, complaint):
            if not holds:
                raise UsageError(complaint)

        check(self.output_dir, "--output-dir is missing: where should the model go?")
        for name in ("hidden_units", "epochs", "batch_size", "accumulate", "log_steps"):
            check(getattr(self, name) >= 1, f"--{name.replace('_', '-')} is {getattr(self, name)}; it must be at least 1")
        for name in ("weight_decay", "clip", "early_stop", "eval_steps", "seed"):
            check(getattr(self, name) >= 0, f"--{name.replace('_', '-')} is {getattr(self, name)}; it cannot be negative")
        check(0 <= self.dropout < 1, f"--dropout is {self.dropout}; it must be in [0, 1)")
        check(0 <= self.warmup_ratio < 1, f"--warmup-ratio is {self.warmup_ratio}; it must be in [0, 1)")
        check(0 < self.lr < 1, f"--lr is {self.lr}; it must be in (0, 1)")
        check(self.max_len >= 5, f"--max-len is {self.max_len}; a pair needs at least 5 tokens")
        for field in dataclasses.fields(self):
            choices = field.metadata.get("choices")
            value = getattr(self, field.name)
            option = f"--{field.name.replace('_', '-')}"
            check(not choices or value in choices, f"{option} is {value!r}; it can be {', '.join(choices or ())}")
        check(not (self.gpus and self.devices), "--gpus and --devices say the same thing twice: give one of them")
        check(not (self.sample and (self.train_file or self.dev_file)), "--sample brings its own pairs: no files with it")
        check(bool(self.train_file) == bool(self.dev_file), "--train-file and --dev-file go together")


# What suits the embedded sample: a small BERT that starts from random weights.
SAMPLE_SETTINGS = {"backbone": "bert_2_256_4", "max_len": 64, "epochs": 10, "lr": 5e-4, "batch_size": 32}


def configure(**options):
    """A :class:`FinetuneConfig` from the given options and, for the rest, the defaults that suit the data."""
    unknown = set(options) - {field.name for field in dataclasses.fields(FinetuneConfig)}
    if unknown:
        raise UsageError(f"no setting {', '.join(sorted(unknown))}")
    return FinetuneConfig(**{**(SAMPLE_SETTINGS if options.get("sample") else {}), **options})
