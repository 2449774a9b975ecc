"""What the commands that train have in common: an option for each setting, resuming, ranks."""

import argparse
import dataclasses
import os
from typing import Any, Callable, Dict, Optional, Type

from ..errors import UsageError
from ..train.settings.config import RunConfig, option_name
from .options import add_rank_arguments, run_on_ranks

_HERE = ""  # of --resume: the folder that the other options name


def add_training_arguments(parser: argparse.ArgumentParser, kind: Type[RunConfig]) -> None:
    """Add an option for each setting of a run.

    Parameters
    ----------
    parser : argparse.ArgumentParser
    kind : type
        Of the settings, a subclass of RunConfig.
    """
    for field in dataclasses.fields(kind):
        settings = dict(field.metadata)
        if field.default is False:
            parser.add_argument(option_name(field.name), action="store_true", default=argparse.SUPPRESS, **settings)
            continue
        value_type = str if field.default in (None, ()) else type(field.default)
        if field.default not in (None, "", ()):
            settings["help"] += f" (default: {field.default})"
        settings.setdefault("metavar", None if "choices" in settings else {int: "N", float: "X"}.get(value_type, "F"))
        # An option that is not given stays out, so that other settings can bring defaults of their own.
        names = settings.pop("names", [option_name(field.name)])
        if "nargs" in settings:  # once with all values, or once for each
            settings["action"] = "extend"
        parser.add_argument(*names, dest=field.name, type=value_type, default=argparse.SUPPRESS, **settings)
    parser.add_argument(
        "--resume",
        metavar="OUT",
        nargs="?",
        const=_HERE,
        help="resume the run in OUT from its newest checkpoint; without OUT, the one that the same command has begun, "
        "if it has",
    )
    parser.add_argument("--resume-anyway", action="store_true", help="even if data, packages or devices have changed")
    add_rank_arguments(parser)


def check_training(options: argparse.Namespace, kind: Type[RunConfig]) -> None:
    """Raise a UsageError for settings that make no sense, before MXNet is imported; names are looked up later."""
    if options.resume_anyway and not options.resume:
        raise UsageError("--resume-anyway goes with --resume OUT")
    if not options.resume:
        kind.check_values(**_given(options, kind))


def _given(options: argparse.Namespace, kind: Type[RunConfig]) -> Dict[str, Any]:
    """The settings among the options."""
    names = {field.name for field in dataclasses.fields(kind)} & set(vars(options))
    return {name: getattr(options, name) for name in names}


def run_training(
    options: argparse.Namespace,
    kind: Type[RunConfig],
    train: Callable[..., Dict[str, Any]],
    show: Callable[[Dict[str, Any], str], None],
) -> Optional[int]:
    """Train on this rank; or start the ranks, if that is what the options ask for.

    Parameters
    ----------
    options : argparse.Namespace
    kind : type
        Of the settings, a subclass of RunConfig.
    train : callable
        Takes the settings, as :func:`~gluonnlp_snli_plugin.finetune` does; gives the summary.
    show : callable
        Gets the summary and the folder of the output; called once.

    Returns
    -------
    int or None
        Exit status.
    """
    from ..parallel.backends import require_backend
    from ..parallel.devices import parse_devices
    from ..parallel.place import known_rank, launched_backend
    from ..train.recovery.record_check import require_unedited
    from ..train.recovery.resume import CHANGEABLE, PLACES, recorded_run

    settings = _given(options, kind)
    if options.resume == _HERE:
        options.resume = _run_begun(kind.of(**settings))
        kept = (*CHANGEABLE, *PLACES, *kind.DATA_FILES)
        settings = {name: settings[name] for name in kept if name in settings} if options.resume else settings
    if options.resume:
        config, record = recorded_run(kind, options.resume, **settings)
        require_unedited(config, record, options.resume_anyway)
        is_rank = launched_backend() and options.comm  # of a launcher of the user's own
        if options.np is None and record.get("ranks", 1) > 1 and not is_rank:  # as it was started
            options.np, options.comm = record["ranks"], options.comm or record.get("comm")
        settings.update(resume=options.resume, resume_anyway=options.resume_anyway)
    else:
        config = kind.of(**settings)  # reports an error before ranks are started
    if options.np:
        parse_devices(config.devices, config.gpus, config.engine).of_rank(0, options.np)
        require_backend(options.comm, config.uses_xla)

    def run(comm: Optional[str]) -> None:
        summary = train(comm, **settings)
        if not comm or known_rank() == 0:
            show(summary, config.output_dir)

    return run_on_ranks(options, run, uses_xla=config.uses_xla)


def _run_begun(config: RunConfig) -> Optional[str]:
    """The output folder of a run if one with these settings is in it; None if there is no run."""
    from ..train.recovery.resume import CHANGEABLE, absolute, recorded_run

    folder = config.output_dir
    if not os.path.exists(os.path.join(folder, "config.json")):
        return None
    begun, _ = recorded_run(type(config), folder)
    for field in dataclasses.fields(config):
        then, now = getattr(begun, field.name), getattr(config, field.name)
        if field.name in config.DATA_FILES and then and now:  # whose content is compared
            config.require_moved(field.name, then, now)
            continue
        if field.name in config.PATHS:
            then, now = (absolute(type(config), field.name, value) for value in (then, now))
        if field.name not in (*CHANGEABLE, "overwrite") and then != now:
            then, now = (_shown(option_name(field.name), value) for value in (then, now))
            raise UsageError(f"{folder} holds a run {then}, not one {now}")
    return folder


def _shown(option: str, value: Any) -> str:
    """A setting in a message: 'with --lr 0.1'."""
    if value is None or value is False or value == ():
        return f"without {option}"
    values = () if value is True else value if isinstance(value, tuple) else (value,)
    return " ".join(["with", option, *map(str, values)])
