"""What, besides weights and vocabulary, makes a fine-tuned model: read from JSON, and checked."""

import dataclasses
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

from ..data.layout import PairLayout
from ..data.schema import is_class_name
from ..data.truncation import list_truncations
from ..errors import CheckpointError, UsageError
from ..model.encoder_family import is_dropout
from ..model.family import family_of, problem_with_head
from ..model.heads import head_named, head_names
from ..tasks.snli import LABELS
from ..text.tokenizer_settings import TokenizerSettings


@dataclasses.dataclass(frozen=True)
class ModelSettings:
    """What, besides weights and vocabulary, makes a fine-tuned model.

    Attributes
    ----------
    backbone : str
        Architecture, such as ``bert_L_H_A``.
    hparams : dict
        All hyper-parameters of the backbone, as GluonNLP names them.
    head : str
        Name of a head.
    hidden_units : int
        Of the 'mlp' head.
    dropout : float
        Of the head.
    tokenizer : TokenizerSettings
        What is done with text.
    max_len : int
        Longest input in tokens.
    truncation : str
        Name of the strategy.
    labels : tuple of str
        Names of the classes, in the order of the logits.
    task : str
        Name of the task that the model was made for.
    one_separator : bool
        Whether one special token is between the sentences of a pair, where the family has several there: GluonNLP's
        script has one for a RoBERTa too.
    """

    backbone: str
    hparams: Dict[str, Any]
    head: str
    hidden_units: int
    dropout: float
    tokenizer: TokenizerSettings
    max_len: int
    truncation: str
    labels: Tuple[str, ...] = LABELS
    task: str = "SNLI"
    one_separator: bool = False

    @property
    def layout(self) -> PairLayout:
        """How a pair is laid out in tokens."""
        layout = family_of(self.backbone).layout
        return layout._replace(between=layout.between[:1]) if self.one_separator else layout


def _settings(content: Dict[str, Any]) -> ModelSettings:
    """ModelSettings from JSON; a KeyError, TypeError or ValueError if it is damaged."""
    content = dict(content)
    if "lower" in content:
        content["tokenizer"] = TokenizerSettings.gluonnlp(content.pop("lower"))
    else:
        content["tokenizer"] = TokenizerSettings.from_json(content["tokenizer"])
    if not isinstance(content["labels"], list):
        raise TypeError
    return ModelSettings(**{**content, "labels": tuple(content["labels"])})


def settings_from_json(content: Any, path: Path) -> ModelSettings:
    """Settings from what ``dataclasses.asdict`` makes of them.

    Parameters
    ----------
    content : dict
        As JSON has it.
    path : Path
        What it was read from.

    Raises
    ------
    CheckpointError
        If it is damaged, or there can be no model of these settings.
    """
    try:
        settings = _settings(content)
        problem = problem_of(settings)
    except UsageError as error:
        raise CheckpointError(f"{path}: {error}") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise CheckpointError(f"{path} is damaged") from None
    if isinstance(settings.head, str) and settings.head not in head_names():
        raise CheckpointError(f"{path}: no head {settings.head!r} is registered; there are: {', '.join(head_names())}")
    if problem:
        raise CheckpointError(f"{path} is damaged: {problem}")
    return settings


def problem_of(settings: ModelSettings) -> Optional[str]:
    """Why there can be no model of these settings, be it about to be written or just read; None if there can.

    May raise a KeyError, TypeError or ValueError where they make no sense.
    """
    TokenizerSettings.from_json(dataclasses.asdict(settings.tokenizer))
    family = family_of(settings.backbone)
    least, most = settings.layout.num_special + 2, settings.hparams["max_length"]
    trouble: Optional[str] = f"there is no head {settings.head!r}"
    if settings.head in head_names():
        trouble = problem_with_head(settings.backbone, head_named(settings.head))
    problems = {
        f"its hyper-parameters are not those of a {settings.backbone}": not family.are_hparams(
            settings.backbone, settings.hparams
        ),
        f"its dropout is {settings.dropout!r}": not is_dropout(settings.dropout),
        trouble or "": trouble is not None,
        f"its head has {settings.hidden_units!r} hidden units": not (
            type(settings.hidden_units) is int and 0 <= settings.hidden_units < 1 << 24
        ),
        f"max_len is {settings.max_len!r}; a pair takes from {least} to {most} tokens": not (
            type(settings.max_len) is int and least <= settings.max_len <= most
        ),
        f"there is no truncation {settings.truncation!r}": settings.truncation not in list_truncations(),
        f"its labels are {settings.labels!r}": len(settings.labels) < 2
        or len(set(settings.labels)) < len(settings.labels)
        or not all(map(is_class_name, settings.labels)),
        f"its task is {settings.task!r}": type(settings.task) is not str,
        f"its one_separator is {settings.one_separator!r}": type(settings.one_separator) is not bool,
    }
    return next((what for what, is_one in problems.items() if is_one), None)
