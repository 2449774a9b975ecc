"""Runs one of GluonNLP's own scripts, unchanged, as ``python SCRIPT`` would, with what the plugin registered."""

import contextlib
import logging
import os
import warnings
from typing import Any, Mapping, Optional, Sequence, Union

from .. import registry
from ..parallel import backends
from ..parallel.devices import Devices
from ..parallel.place import known_rank
from ..system.files import workspace
from ..tasks.snli import SNLITask
from .data import count_truncated, read_from, read_glue_from, task_of, truncate_by, use_recorded_tokenizers
from .dataset_workers import keep_datasets
from .native import use_native_operators
from .options import extend_options
from .ranks import RankedScript
from .script import Script

_log = logging.getLogger("gluonnlp_snli_plugin")


def run_script(
    path: Union[str, "os.PathLike[str]"],
    arguments: Sequence[str] = (),
    files: Optional[Mapping[str, Optional[str]]] = None,
    root: Optional[Union[str, "os.PathLike[str]"]] = None,
    truncation: Optional[str] = None,
    backend: Optional[str] = None,
    devices: Optional[Devices] = None,
    native: bool = True,
    columns: Any = None,
    labels: Any = None,
    exact_tokenizer: bool = False,
    glue_root: Optional[Union[str, "os.PathLike[str]"]] = None,
) -> int:
    """Run a script of GluonNLP v0.10.0 with the plugin active.

    Its options accept the tasks, architectures and weights that the plugin registered. On a rank it trains together
    with the others.

    Parameters
    ----------
    path : str
        The script.
    arguments : list of str
        Its own arguments.
    files : dict of str to str, optional
        Files of the script's task by segment ('train', 'dev', 'test'), default the official ones.
    root : str or None
        Folder of the official files.
    truncation : str or None
        Strategy for pairs that are too long, default the script's own.
    backend : {'dist_sync', 'horovod', 'jax', None}
        How this rank talks to the others; None for a process that is alone.
    devices : Devices, optional
        Those of this machine, of which each rank gets one; default the CPU. Where XLA computes, ``mx.gpu(i)`` in the
        script is the one numbered i. The first of this process is what ``--gpu`` of the script is by default.
    native : bool, default True
        Whether a BERT on CPU uses the C++ operators.
    columns, labels : str, mapping or None
        How `files` are written, as :class:`.PairReader` takes it.
    exact_tokenizer : bool, default False
        Whether text is divided as the model store says of a vocabulary, rather than by GluonNLP's own tokenizer.
    glue_root : str or None
        Folder of the official GLUE, for the script's datasets of GLUE.

    Returns
    -------
    int
        Exit status of the script.

    Raises
    ------
    UsageError
        If there is no such script, or it is not for GluonNLP 0.10.
    PluginError
        If what the script was given cannot be used, or it cannot be shared among ranks.
    """
    script = Script(path)
    changes = registry.Changes()
    with contextlib.ExitStack() as stack:
        stack.callback(changes.undo)
        stack.enter_context(warnings.catch_warnings())
        files = {segment: file for segment, file in (files or {}).items() if file}
        task = task_of(arguments) if files or root else SNLITask
        data_read = read_from(changes, root, columns, labels, task, **files)
        if glue_root is not None:
            data_read = read_glue_from(changes, glue_root)
        if truncation is not None:
            truncate_by(changes, truncation)
        counts = count_truncated(changes)
        keep_datasets(changes)
        if exact_tokenizer:
            use_recorded_tokenizers(changes)
        ranks = gpus = None
        if devices and devices.uses_xla:
            ranks = backends.join_ranks(backend)  # before JAX is asked for its devices
        if devices and backend:
            devices = devices.of_place()
        extend_options(changes, devices.places[0].device_id if devices else None)
        if ranks and devices:
            devices.configure()
            from .gpus import ScriptOnGPUs

            gpus = ScriptOnGPUs(devices.places, changes)
            ranks.connect(gpus.every)
        elif native:
            use_native_operators(changes)
        ranked = None
        if backend:
            copies = stack.enter_context(workspace())
            ranked = RankedScript(script, backend, changes, devices is not None, copies, ranks, gpus)
        status = script.run(list(arguments), ranked.fail) if ranked else script.run(list(arguments))
        if ranked and status == 0:
            ranked.finish()
        counts.tell(path, known_rank() if ranked else None)
        if (files or glue_root is not None) and not data_read and not script.has_exited:
            option = "--train-file, --dev-file or --test-file" if files else "--glue-root"
            _log.warning("%s has read none of the files that %s name%s", path, option, "" if files else "s")
        return status
