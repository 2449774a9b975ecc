"""The settings of a run of training: a frozen dataclass that the command line fills and the output folder records."""

import dataclasses
import os
from typing import Any, ClassVar, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from ...data.assignments import written
from ...errors import UsageError
from ...parallel.place import ENGINES
from ...system.files import is_utf8

_END_OF_NUMBERS = 1 << 31  # limit of MXNet's integers
_SMALLEST, _LARGEST = 1e-30, 1e30  # range of its floats
DTYPES = ("float32", "bfloat16", "tfloat32", "float16")
_DTYPES_OF_MXNET = ("float32", "bfloat16")
OPTIMIZERS = ("bertadam", "adam")
SCHEDULES = ("linear", "constant")


def option(default: Any, help: str, **argparse_settings: Any) -> Any:
    """A field of a dataclass that is a command-line option too."""
    return dataclasses.field(default=default, metadata={"help": help, **argparse_settings})


def _as_typed(value: Any, default: Any) -> Any:
    """A setting as the command line has it: a path as its text, a dict as ``NAME=VALUE,...``, a list as ``NAME,...``.

    A list stays several values, as a tuple, where the option takes several.
    """
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, (list, tuple)) and isinstance(default, tuple):
        return tuple(map(str, value))
    return written(value) if isinstance(value, (Mapping, list, tuple)) else value


def option_name(field_name: str) -> str:
    """The command-line option of a field: ``--batch-size`` of ``batch_size``."""
    return f"--{field_name.replace('_', '-')}"


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Settings of any run of training; each field is a command-line option of the same name.

    Attributes
    ----------
    COMMAND : str
        The subcommand that runs it.
    DATA_FILES : tuple of str
        Which settings name files whose content is recorded, so that they may be elsewhere when a run is resumed.
    FIGURES : tuple of str
        The numbers that every summary of such a run has.
    PATHS : tuple of str
        Which settings name files, from where the run began.

    Raises
    ------
    UsageError
        If a setting is invalid.
    """

    COMMAND: ClassVar[str] = ""
    DATA_FILES: ClassVar[Tuple[str, ...]] = ()
    FIGURES: ClassVar[Tuple[str, ...]] = ()
    PATHS: ClassVar[Tuple[str, ...]] = ()

    output_dir: str = option("", "folder for the model, metrics and settings", metavar="OUT")
    overwrite: bool = option(False, "replace the run that is in OUT")

    backbone: Optional[str] = option(
        None, "architecture: bert_LAYERS_UNITS_HEADS, roberta_... or distilbert_...", metavar="NAME"
    )
    dropout: float = option(0.1, "dropout")
    max_len: int = option(128, "longest input in tokens, special tokens included")

    batch_size: int = option(32, "pairs a batch (per process)")
    accumulate: int = option(1, "batches whose gradients make one update")
    lr: float = option(5e-5, "highest learning rate")
    schedule: str = option("linear", "the learning rate's fall to zero, or constant", choices=SCHEDULES)
    optimizer: str = option("bertadam", "bertadam as in GluonNLP's scripts, or plain adam", choices=OPTIMIZERS)
    warmup_ratio: float = option(0.1, "share of the updates in which the learning rate rises")
    weight_decay: float = option(0.01, "not applied to LayerNorm and bias")
    clip: float = option(1.0, "largest global norm of the gradients; 0 for no clipping")
    eval_steps: int = option(0, "updates between two evaluations; 0 for the necessary ones only")
    seed: int = option(0, "of initial weights, dropout and the order of the pairs")
    dtype: str = option(
        "float32",
        "of matrix products: bfloat16 needs a processor with AMX, or a GPU; tfloat32 and float16 are for GPUs",
        choices=DTYPES,
    )

    no_native: bool = option(
        False, "use MXNet's own operators on CPU, not the faster C++ ones that come with this program"
    )
    gpus: Optional[str] = option(None, "GPUs to use, for example 0,1", metavar="I,J")
    devices: Optional[str] = option(None, "devices to use, for example cpu:0,cpu:1", metavar="D,E")
    engine: str = option("auto", "what computes: auto is xla on GPUs, mxnet on CPU", choices=ENGINES)
    gpu_memory: float = option(0.0, "share of a GPU's memory to reserve; 0 for memory as it is needed")
    remat: bool = option(False, "compute layers again for the gradient, to use less memory of a GPU")
    log_steps: int = option(50, "updates between two lines of the log")
    tensorboard: bool = option(False, "write the figures of the log for TensorBoard too, to OUT/tensorboard")

    checkpoint_steps: int = option(500, "updates between two checkpoints; 0 for one at the end of each epoch only")
    keep: int = option(2, "checkpoints to keep, the newest ones")
    max_seconds: float = option(0.0, "write a checkpoint and stop before this many seconds have passed; 0 for no limit")

    def __post_init__(self) -> None:
        for complaint in self._complaints():
            raise UsageError(complaint)
        self._check_names()

    @classmethod
    def check_values(cls, **options: Any) -> None:
        """Check all that can be checked without importing MXNet, which takes seconds.

        Raises
        ------
        UsageError
            As :meth:`of` does, except for names that must be looked up in a registry.
        """
        defaults = {field.name: field.default for field in dataclasses.fields(cls)}
        config = cls.__new__(cls)
        vars(config).update({**defaults, **cls._settings(options)})
        for complaint in config._complaints():
            raise UsageError(complaint)

    @classmethod
    def of(cls, **options: Any) -> "RunConfig":
        """The settings that are given and, for the rest, the defaults that suit them.

        Raises
        ------
        UsageError
            If a setting is unknown or invalid.
        """
        return cls(**cls._settings(options))

    @classmethod
    def _settings(cls, options: Dict[str, Any]) -> Dict[str, Any]:
        given = cls.typed(options)
        return {**cls.usual(given), **given}

    @classmethod
    def typed(cls, options: Dict[str, Any]) -> Dict[str, Any]:
        """Settings that are given in Python, as the command line has them.

        Raises
        ------
        UsageError
            If a setting is unknown.
        """
        defaults = {field.name: field.default for field in dataclasses.fields(cls)}
        unknown = set(options) - set(defaults)
        if unknown:
            raise UsageError(f"unknown setting {', '.join(sorted(unknown))}")
        return {name: _as_typed(value, defaults[name]) for name, value in options.items()}

    @classmethod
    def upgraded(cls, recorded: Dict[str, Any]) -> Dict[str, Any]:
        """The settings of a run that an earlier version began, as this version has them."""
        return recorded

    @classmethod
    def split_path(cls, name: str, value: str) -> Tuple[str, str, str]:
        """A setting in `PATHS`: what comes before the path, the path (empty if there is none), and what follows."""
        return "", value, ""

    @classmethod
    def usual(cls, options: Dict[str, Any]) -> Dict[str, Any]:
        """Defaults that depend on other options, a dict."""
        return {}

    @property
    def written_always(self) -> Sequence[str]:
        """The settings whose defaults are not those of the class, but depend on something else."""
        return ()

    @classmethod
    def require_moved(cls, name: str, then: Any, now: Any) -> None:
        """Raise a UsageError if a setting in `DATA_FILES` differs in more than where the files are."""
        if name == "init_from" and not then:
            raise UsageError("the run was begun without --init-from: omit it")

    def command_line(self, num_ranks: int = 1, comm: Optional[str] = None) -> List[str]:
        """The command that makes a run with these settings.

        Parameters
        ----------
        num_ranks : int, default 1
        comm : str or None

        Returns
        -------
        list of str
            Settings with default values are left out, unless the default is another with these settings.
        """
        given = dataclasses.asdict(self)
        usual = {field.name: field.default for field in dataclasses.fields(self)}
        usual.update(self.usual(given))
        words = ["gluonnlp-snli", self.COMMAND]
        for name, value in given.items():
            if value == usual[name] and (value is None or name not in self.written_always):
                continue
            if value is True:
                words.append(option_name(name))
            elif isinstance(value, tuple) and not any(one.startswith("-") for one in value):
                words += [option_name(name), *value]
            elif isinstance(value, tuple):
                words += [f"{option_name(name)}={one}" for one in value]
            else:
                words += (
                    [f"{option_name(name)}={value}"] if str(value).startswith("-") else [option_name(name), str(value)]
                )
        return words + (["--np", str(num_ranks), "--comm", str(comm)] if comm else [])

    def _check_names(self) -> None:
        """Look up the names among the settings, where they are registered; raises a UsageError."""

    def _complaints(self) -> Iterator[str]:
        """What is wrong with the settings by themselves, a line each."""
        given: Dict[str, Any] = {option_name(name): value for name, value in dataclasses.asdict(self).items()}
        for option, value in given.items():
            for text in value if isinstance(value, tuple) else (value,):
                if isinstance(text, str) and "\0" in text:
                    yield f"{option} holds a NUL character"
            if isinstance(value, int) and value >= _END_OF_NUMBERS:
                yield f"{option} is {str(value)[:20]}...; it must be less than {_END_OF_NUMBERS}"
            if isinstance(value, float) and not (value == 0 or _SMALLEST <= abs(value) <= _LARGEST):
                yield f"{option} is {value}; it must be 0, or between {_SMALLEST} and {_LARGEST}"
        if not self.output_dir:
            yield "--output-dir is missing: where should the model go?"
        if not is_utf8(self.output_dir):
            yield f"--output-dir is {self.output_dir}; MXNet opens only files whose names are UTF-8"
        yield from self._below(1, "batch_size", "accumulate", "log_steps", "keep")
        yield from self._below(0, "weight_decay", "clip", "eval_steps", "seed", "checkpoint_steps", "max_seconds")
        yield from self._not_in_unit_interval("dropout", "warmup_ratio")
        if not 0 < self.lr < 1:
            yield f"--lr is {self.lr}; it must be in (0, 1)"
        if self.max_len < 5:
            yield f"--max-len is {self.max_len}; a pair needs at least 5 tokens"
        for field in dataclasses.fields(self):
            choices = field.metadata.get("choices")
            if choices and getattr(self, field.name) not in (*choices, field.default):
                value = getattr(self, field.name)
                yield f"{option_name(field.name)} is {value!r}; it can be {', '.join(choices)}"
        yield from self._impossible_on_device()

    @property
    def uses_xla(self) -> bool:
        """Whether XLA computes the run, rather than MXNet."""
        return self.engine == "xla" or bool(self.gpus) or "gpu" in (self.devices or "")

    def _impossible_on_device(self) -> Iterator[str]:
        if not 0 <= self.gpu_memory <= 1:
            yield f"--gpu-memory is {self.gpu_memory}; it is a share, at most 1"
        if self.uses_xla:
            if self.no_native:
                yield "--no-native is about MXNet's operators on CPU: omit it where XLA computes"
            return
        if self.dtype not in _DTYPES_OF_MXNET:
            yield f"--dtype {self.dtype} is for GPUs: give --gpus 0, or omit it"
        if self.dtype == "bfloat16" and self.no_native:
            yield "--dtype bfloat16 needs the C++ operators: omit --no-native"
        for name in ("remat", "gpu_memory"):
            if getattr(self, name):
                yield f"{option_name(name)} is for GPUs: give --gpus 0, or omit it"

    def _below(self, least: float, *names: str) -> Iterator[str]:
        for name in names:
            if not getattr(self, name) >= least:
                what = f"it must be at least {least}" if least else "it cannot be negative"
                yield f"{option_name(name)} is {getattr(self, name)}; {what}"

    def _not_in_unit_interval(self, *names: str) -> Iterator[str]:
        for name in names:
            if not 0 <= getattr(self, name) < 1:
                yield f"{option_name(name)} is {getattr(self, name)}; it must be in [0, 1)"
