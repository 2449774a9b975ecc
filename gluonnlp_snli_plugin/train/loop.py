"""The training loop: what fine-tuning and pretraining have in common."""

import contextlib
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Type

import mxnet as mx

from ..data.encoding import EncodedPairs
from ..errors import PluginError, UsageError, printable
from ..native import require_bfloat16
from ..parallel.backends import join_ranks, require_backend
from ..parallel.devices import parse_devices
from ..parallel.place import known_rank, place_on_machine
from ..system import threads
from .engines.engine import Engine
from .engines.mxnet_engine import MXNetEngine
from .engines.objectives import Objective
from .job import Job
from .output import NoOutput, OutputFolder, peak_rss_mb, versions
from .progress import Meter, Progress
from .recovery.record_check import finished, require_unedited, what_stays
from .recovery.resume import moved_files, recorded_run, require_data, require_same, with_new_places
from .recovery.snapshots import Snapshots
from .settings.config import RunConfig, option_name
from .stopping import Stopping

_log = logging.getLogger("gluonnlp_snli_plugin")


def train(
    kind: Type[RunConfig],
    job: Callable[["Run"], Job],
    report: Callable[[str], None],
    options: Dict[str, Any],
    comm: Optional[str] = None,
    resume: Optional[str] = None,
    resume_anyway: bool = False,
) -> Dict[str, Any]:
    """Begin a run, or resume one.

    Parameters
    ----------
    kind : type
        A RunConfig.
    job : callable
        Makes the :class:`.job.Job` of a run.
    report : callable
        Writes the report of the run in an output folder.
    options : dict
        Settings, by the names of `kind`'s fields.
    comm, resume, resume_anyway
        As :func:`~gluonnlp_snli_plugin.finetune` takes them.

    Returns
    -------
    dict
        What ``summary.json`` holds, also for a run that is already complete.
    """
    config, record = recorded_run(kind, resume, **options) if resume else (kind.of(**options), None)
    if resume and record:
        require_unedited(config, record, resume_anyway)
        summary = finished(config)
        if summary:
            if known_rank() == 0:
                _tell_unread(config, record)
                if not os.path.exists(os.path.join(resume, "report.html")):
                    report(resume)  # the run was killed before it
            return summary
        require_data(config)
    run = Run(config, comm, record, resume_anyway)
    return run.train(job(run))


def _tell_unread(config: RunConfig, record: Dict[str, Any]) -> None:
    """Log that a run which is complete does not read the files that are given."""
    unread = list(map(option_name, moved_files(record, config)))
    if unread:
        what = f"the run in {config.output_dir} is complete: {' and '.join(unread)} {'are' if unread[1:] else 'is'}"
        hint = f"; to score a file: gluonnlp-snli evaluate {config.output_dir} --file F"
        is_scored = {"--dev-file", "--test-file"} & set(unread)
        _log.warning("%s", printable(f"{what} not read{hint if is_scored else ''}"))


class Run:
    """One run of training: where it computes, what it writes, and the loop.

    Parameters
    ----------
    config : RunConfig
    comm : {'dist_sync', 'horovod', None}
        How this process, started as one of several ranks, talks to the others; None for a single process.
    record : dict or None
        Of the run to resume, what its ``config.json`` holds.
    resume_anyway : bool, default False
        Even where something that matters has changed since.

    Attributes
    ----------
    config : RunConfig
    devices : Devices
    ranks : Ranks
    output : OutputFolder or NoOutput
    progress : Progress

    Raises
    ------
    UsageError
        If the devices do not exist, or do not support the settings.
    """

    def __init__(
        self,
        config: RunConfig,
        comm: Optional[str] = None,
        record: Optional[Dict[str, Any]] = None,
        resume_anyway: bool = False,
    ) -> None:
        self._begin = time.perf_counter()
        self._comm, self._resume_anyway = comm, resume_anyway
        self._record: Any = record
        self.config: Any = config
        devices = parse_devices(config.devices, config.gpus, config.engine)
        require_backend(comm, devices.uses_xla)
        if config.dtype == "bfloat16" and not devices.uses_xla:
            require_bfloat16(devices.contexts)
        self.ranks = join_ranks(comm)
        self.devices = devices.of_rank(*place_on_machine() if comm else (0, 1))
        self.devices.configure(config.gpu_memory)
        mx.random.seed(config.seed)
        self.output: Any = NoOutput()
        if self.ranks.rank == 0:
            self.output = OutputFolder(config.output_dir, config.overwrite, self.is_resumed, config.tensorboard)
        self.progress = Progress(self.ranks.rank == 0)

    @property
    def is_resumed(self) -> bool:
        """Whether the run was begun before."""
        return self._record is not None

    def require_pairs_for_all(self, num_pairs: int) -> None:
        """Raise a UsageError if a batch of training pairs cannot be divided among the devices."""
        if min(num_pairs, self.config.batch_size) < self.devices.least_pairs:
            size = f"{num_pairs} training pairs in batches of {self.config.batch_size}"
            raise UsageError(f"{size} cannot be divided among {len(self.devices)} devices")

    def engine(
        self,
        net: mx.gluon.HybridBlock,
        objective: Objective,
        batches: Any,
        num_updates: int,
        meter: Meter,
        evaluated: Optional[EncodedPairs] = None,
    ) -> Engine:
        """The engine that computes this run on its devices.

        Parameters
        ----------
        net : HybridBlock
        objective : Objective
        batches : LengthBucketBatches or PretrainingBatches
            To train on.
        num_updates : int
        meter : Meter
        evaluated : EncodedPairs or None
            The pairs that the engine is asked logits for.
        """
        arguments = (net, objective, self.config, num_updates, self.devices, self.ranks, meter)
        if not self.devices.uses_xla:
            return MXNetEngine(*arguments, longest=batches.longest())
        from .engines.xla_engine import XLAEngine

        return XLAEngine(*arguments, batches, self.progress.say, evaluated, self._begin)

    def train(self, job: Job) -> Dict[str, Any]:
        """Train to the end.

        Parameters
        ----------
        job : Job

        Returns
        -------
        dict
            What ``summary.json`` holds.

        Raises
        ------
        PluginError
            If training fails, or the run to resume is not this one.
        Stopped
            If a signal or the time has stopped it; there is a checkpoint then.
        """
        config, self.progress.num_updates = self.config, job.num_updates
        stopping = Stopping(config.max_seconds, self._begin, config.COMMAND, config.output_dir)
        with contextlib.ExitStack() as stack, self.output, stopping, self.progress:
            stack.callback(job.engine.close)
            self._write_config(job)
            job.meter.restart()
            stays = what_stays(config, self.ranks.num_ranks)
            snapshots = Snapshots(Path(config.output_dir), config.keep, job, self.ranks, self.output, stays)
            if self.is_resumed:
                update = snapshots.resume()
                if update > job.num_updates:
                    raise PluginError(f"checkpoint {update} is of a longer run: this one has {job.num_updates} updates")
                self.progress.begin_at(update)
                place = f"resumed after update {update}" if update else "no checkpoint yet: starting from the beginning"
                limit = f", for {config.max_seconds:g} seconds at most (--max-seconds)" if config.max_seconds else ""
                self.progress.say(place + limit)
            if job.evaluates_first and not job.engine.num_updates_done:
                job.evaluator.evaluate(0, 0)
                job.meter.restart()
            self._loop(job, stopping, snapshots)
            snapshots.wait()
            summary = {"updates": job.engine.num_updates_done, **job.finish(), **job.engine.close()}
            summary["seconds"] = round(time.perf_counter() - self._begin, 2)
            summary["peak_rss_mb"] = peak_rss_mb()
            self.output.write_summary(summary)
            if self.ranks.rank == 0:
                job.report(config.output_dir)
        self.ranks.close()
        return summary

    def _loop(self, job: Job, stopping: Stopping, snapshots: Snapshots) -> None:
        config, engine, meter = self.config, job.engine, job.meter
        groups = iter(job.update_batches)
        while engine.num_updates_done < job.num_updates and not job.evaluator.is_final:
            group = next(groups)
            lr = engine.next_learning_rate
            engine.step(group)
            update = engine.num_updates_done
            self.progress.advance()

            is_milestone = update == job.num_updates or (group.ends_epoch and job.has_epochs)
            is_evaluated = is_milestone or (config.eval_steps and update % config.eval_steps == 0)
            if is_evaluated or update % config.log_steps == 0:
                figures = meter.read()
                engine.require_sound_gradients()
                self.output.write_metrics(kind="train", epoch=group.epoch, update=update, lr=lr, **figures)
                self.progress.show(group.epoch, figures, lr)
            if is_evaluated:
                job.evaluator.evaluate(group.epoch, update)
                meter.restart()
            reason = stopping.reason(update, self.ranks, snapshots.seconds_to_write)
            if reason or is_milestone or (config.checkpoint_steps and update % config.checkpoint_steps == 0):
                snapshots.write(wait=bool(reason))
            if reason:
                raise reason

    def _write_config(self, job: Job) -> None:
        """Record everything needed to repeat the run; verify that a resumed run is the same."""
        circumstances = {
            "devices": str(self.devices),
            "ranks": self.ranks.num_ranks,
            "comm": self._comm,
            "threads": str(threads.number()),
            "versions": versions(),
            **job.circumstances(),
        }
        if not self.is_resumed:
            repeat = self.config.command_line(self.ranks.num_ranks, self._comm)
            commands = {"kind": self.config.COMMAND, "command": sys.argv, "repeat": repeat}
            self.output.write_config(self.config, **commands, working_folder=os.getcwd(), **circumstances)
            return
        if not self._resume_anyway:
            require_same(self._record, circumstances)
        record = with_new_places(self._record, self.config)
        if record != self._record:
            self.output.write_record(record)
