"""The settings of runs as keyword arguments, for editors and type checkers. A test keeps them equal."""

import dataclasses
import inspect
from typing import Any, Callable, Optional, Sequence, Tuple, Type, TypedDict, TypeVar, Union

from ...data.assignments import Assignments, Names
from .config import RunConfig
from .training_files import TrainFiles

Function = TypeVar("Function", bound=Callable[..., Any])


class RunOptions(TypedDict, total=False):
    """What fine-tuning and pretraining have in common: the fields of :class:`.config.RunConfig`."""

    output_dir: str
    overwrite: bool
    backbone: Optional[str]
    dropout: float
    max_len: int
    batch_size: int
    accumulate: int
    lr: float
    schedule: str
    optimizer: str
    warmup_ratio: float
    weight_decay: float
    clip: float
    eval_steps: int
    seed: int
    dtype: str
    no_native: bool
    gpus: Optional[str]
    devices: Optional[str]
    engine: str
    gpu_memory: float
    remat: bool
    log_steps: int
    tensorboard: bool
    checkpoint_steps: int
    keep: int
    max_seconds: float


class FinetuneOptions(RunOptions, total=False):
    """The fields of :class:`.finetune_config.FinetuneConfig`."""

    task: str
    sample: bool
    train_file: TrainFiles
    dev_file: Union[str, Sequence[str], None]
    test_file: Union[str, Sequence[str], None]
    corpus_root: Optional[str]
    columns: Assignments
    labels: Names
    classes: Union[str, Sequence[str], None]
    on_bad_row: str
    init_from: Optional[str]
    dataset_name: Optional[str]
    vocab: Optional[str]
    cased: bool
    head: Optional[str]
    hidden_units: int
    truncation: str
    epochs: int
    early_stop: int


class PretrainOptions(RunOptions, total=False):
    """The fields of :class:`.pretrain_config.PretrainConfig`."""

    name: str
    corpus: Tuple[str, ...]
    dev_corpus: Tuple[str, ...]
    held_out_ratio: float
    corpus_format: str
    vocab: Optional[str]
    init: Optional[str]
    init_from: Optional[str]
    short_seq_prob: float
    mask_ratio: float
    whole_word_mask: bool
    steps: int


def with_options_of(config: Type[RunConfig]) -> Callable[[Function], Function]:
    """Show the fields of a dataclass in the signature of a function that takes them as keyword arguments."""

    def show(function: Function) -> Function:
        signature = inspect.signature(function)
        own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        fields = [
            inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=field.type)
            for field in dataclasses.fields(config)
        ]
        function.__signature__ = signature.replace(parameters=[*own, *fields])  # type: ignore[attr-defined]
        return function

    return show
