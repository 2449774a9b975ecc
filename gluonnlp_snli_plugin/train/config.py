"""The settings of a fine-tuning run: one frozen dataclass that the command line fills and the output folder records."""

import dataclasses
from typing import Optional

from ..data import truncation as truncations
from ..errors import UsageError
from ..files import is_utf8
from ..model.net import HEADS

_END_OF_NUMBERS = 1 << 31  # of what MXNet takes
_SMALLEST, _LARGEST = 1e-30, 1e30  # of what it calculates with
DTYPES = ("float32", "float16", "bfloat16")
OPTIMIZERS = ("bertadam", "adam")
SCHEDULES = ("linear", "constant")


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
    snli_root: Optional[str] = _option(
        None, "folder of the SNLI corpus (default: $MXNET_HOME/datasets/snli)", metavar="D"
    )
    on_bad_row: str = _option("error", "what to do with a row that cannot be used", choices=("error", "skip"))

    backbone: Optional[str] = _option(None, "BERT architecture, bert_LAYERS_UNITS_HEADS", metavar="NAME")
    dataset_name: Optional[str] = _option(None, "which weights and vocabulary of the model store", metavar="NAME")
    vocab: Optional[str] = _option(None, "train from scratch with this vocabulary: vocab.txt or a SentencePiece .model")
    cased: bool = _option(False, "the vocabulary given with --vocab is a cased one")
    head: str = _option(
        "mlp", "mlp: two layers on the encoding of [CLS]; pooled: one on the pooled output", choices=HEADS
    )
    hidden_units: int = _option(256, "units of the mlp head's first layer")
    dropout: float = _option(0.1, "dropout of backbone and head")
    max_len: int = _option(128, "longest input in tokens, special tokens included")
    truncation: str = _option("longest_first", "what gives way in a longer pair; see list truncations", metavar="NAME")

    epochs: int = _option(3, "passes over the training pairs")
    batch_size: int = _option(32, "pairs a batch (per process)")
    accumulate: int = _option(1, "batches whose gradients make one update")
    lr: float = _option(5e-5, "highest learning rate")
    schedule: str = _option("linear", "the learning rate's fall to zero, or constant", choices=SCHEDULES)
    optimizer: str = _option("bertadam", "bertadam as in GluonNLP's script, or plain adam", choices=OPTIMIZERS)
    warmup_ratio: float = _option(0.1, "share of the updates in which the learning rate rises")
    weight_decay: float = _option(0.01, "not applied to LayerNorm and bias")
    clip: float = _option(1.0, "largest global norm of the gradients; 0 for no clipping")
    early_stop: int = _option(0, "stop after this many evaluations without a better score; 0 for never")
    eval_steps: int = _option(0, "evaluate every so many updates too; 0 for after each epoch only")
    seed: int = _option(0, "of initial weights, dropout and the order of the pairs")
    dtype: str = _option("float32", "mixed precision: float16 on a GPU, bfloat16 on a CPU", choices=DTYPES)

    no_native: bool = _option(
        False, "use MXNet's own operators on CPU, not the faster C++ ones that come with this program"
    )
    lazy_embeddings: bool = _option(
        False, "leave the embeddings of words that a batch does not use alone (faster with many words, not quite AdamW)"
    )

    gpus: Optional[str] = _option(None, "GPUs to use, for example 0,1", metavar="I,J")
    devices: Optional[str] = _option(None, "devices to use, for example cpu:0,cpu:1", metavar="D,E")
    log_steps: int = _option(50, "updates between two lines of the log")
    tensorboard: bool = _option(False, "write the figures of the log for TensorBoard too, to OUT/tensorboard")

    checkpoint_steps: int = _option(500, "updates between two checkpoints; 0 for one after each epoch only")
    keep: int = _option(2, "checkpoints to keep, the newest ones")
    max_seconds: float = _option(0.0, "write a checkpoint and stop before so many seconds are over; 0 for no limit")

    def __post_init__(self):
        for complaint in self._complaints():
            raise UsageError(complaint)
        truncations.create(self.truncation)

    def _complaints(self):
        """What is wrong with the settings, a line each."""
        given = {_option_name(field.name): getattr(self, field.name) for field in dataclasses.fields(self)}
        for option, value in given.items():
            if isinstance(value, str) and "\0" in value:
                yield f"{option} holds a NUL character"
            if isinstance(value, int) and value >= _END_OF_NUMBERS:
                yield f"{option} is {str(value)[:20]}...; it must be less than {_END_OF_NUMBERS}"
            if isinstance(value, float) and not (value == 0 or _SMALLEST <= abs(value) <= _LARGEST):
                yield f"{option} is {value}; it must be 0, or between {_SMALLEST} and {_LARGEST}"
        if not self.output_dir:
            yield "--output-dir is missing: where should the model go?"
        if not is_utf8(self.output_dir):
            yield f"--output-dir is {self.output_dir}; MXNet opens only files whose names are UTF-8"
        for option in ("--hidden-units", "--epochs", "--batch-size", "--accumulate", "--log-steps", "--keep"):
            if given[option] < 1:
                yield f"{option} is {given[option]}; it must be at least 1"
        for option in (
            "--weight-decay",
            "--clip",
            "--early-stop",
            "--eval-steps",
            "--seed",
            "--checkpoint-steps",
            "--max-seconds",
        ):
            if not given[option] >= 0:
                yield f"{option} is {given[option]}; it cannot be negative"
        for option in ("--dropout", "--warmup-ratio"):
            if not 0 <= given[option] < 1:
                yield f"{option} is {given[option]}; it must be in [0, 1)"
        if not 0 < self.lr < 1:
            yield f"--lr is {self.lr}; it must be in (0, 1)"
        if self.max_len < 5:
            yield f"--max-len is {self.max_len}; a pair needs at least 5 tokens"
        for field in dataclasses.fields(self):
            option, choices = _option_name(field.name), field.metadata.get("choices")
            if choices and given[option] not in choices:
                yield f"{option} is {given[option]!r}; it can be {', '.join(choices)}"
        if self.gpus and self.devices:
            yield "--gpus and --devices say the same thing twice: give one of them"
        if self.sample:
            for option in ("--train-file", "--dev-file", "--test-file", "--snli-root", "--dataset-name", "--vocab"):
                if given[option]:
                    yield f"--sample brings its own pairs and vocabulary: no {option} with it"
        if bool(self.train_file) != bool(self.dev_file):
            yield "--train-file and --dev-file go together"
        if self.test_file and not self.train_file:
            yield "--test-file goes with --train-file and --dev-file"
        if self.snli_root and self.train_file:
            yield "--snli-root names all files of SNLI: no --train-file, --dev-file, --test-file with it"
        if self.dataset_name and self.vocab:
            yield "--dataset-name brings its own vocabulary: no --vocab with it"
        needs_native = {"--dtype bfloat16": self.dtype == "bfloat16", "--lazy-embeddings": self.lazy_embeddings}
        for option, is_given in needs_native.items():
            if is_given and self.no_native:
                yield f"{option} needs the C++ operators: no --no-native with it"
        if self.cased and not self.vocab:
            yield "--cased is about the vocabulary given with --vocab"


def _option_name(field_name):
    return f"--{field_name.replace('_', '-')}"


# What suits the embedded sample: a small BERT that starts from random weights.
SAMPLE_SETTINGS = {
    "backbone": "bert_2_256_4",
    "max_len": 64,
    "dropout": 0.0,
    "epochs": 6,
    "lr": 3e-4,
    "optimizer": "adam",
    "weight_decay": 0.0,
}


def configure(**options):
    """A :class:`FinetuneConfig` from the given options and, for the rest, the defaults that suit the data."""
    unknown = set(options) - {field.name for field in dataclasses.fields(FinetuneConfig)}
    if unknown:
        raise UsageError(f"no setting {', '.join(sorted(unknown))}")
    return FinetuneConfig(**{**(SAMPLE_SETTINGS if options.get("sample") else {}), **options})


def command_line(config, num_ranks=1, comm=None):
    """The command that makes a run with these settings.

    Parameters
    ----------
    config : FinetuneConfig
    num_ranks : int, default 1
    comm : str or None

    Returns
    -------
    list of str
        Settings that are what they are by default are left out.
    """
    usual = {field.name: field.default for field in dataclasses.fields(config)}
    usual.update(SAMPLE_SETTINGS if config.sample else {})
    words = ["gluonnlp-snli", "finetune"]
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if value == usual[field.name]:
            continue
        option = _option_name(field.name)
        if value is True:
            words.append(option)
        else:
            words += [f"{option}={value}"] if str(value).startswith("-") else [option, str(value)]
    return words + (["--np", str(num_ranks), "--comm", str(comm)] if comm else [])
