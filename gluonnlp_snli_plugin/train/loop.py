"""The training loop: what fine-tuning and pretraining have in common."""

import os
import sys
import time
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np

from ..errors import PluginError, UsageError
from ..native import accelerate, require_bfloat16, use_bfloat16
from ..parallel.backends import join_ranks
from ..parallel.devices import parse_devices
from ..parallel.place import known_rank, place_on_machine
from ..system import threads
from .output import NoOutput, OutputFolder, peak_rss_mb, versions
from .progress import Progress
from .record_check import finished, require_unedited, what_stays
from .resume import recorded_run, require_data, require_same, with_new_places
from .snapshots import Snapshots
from .stopping import Stopping


def train(kind, job, options, comm=None, resume=None, resume_anyway=False):
    """Begin a run, or resume one.

    Parameters
    ----------
    kind : type
        A RunConfig.
    job : callable
        Takes a Run and gives what is trained: :class:`.finetuning.FineTuning` or :class:`.pretraining.Pretraining`.
    options : dict
        Settings, by the names of `kind`'s fields.
    comm, resume, resume_anyway
        As :func:`~gluonnlp_snli_plugin.finetune` takes them.

    Returns
    -------
    dict
        What ``summary.json`` holds; of a run that has come to its end already, too.
    """
    config, record = recorded_run(kind, resume, **options) if resume else (kind.of(**options), None)
    if record:
        require_unedited(config, record, resume_anyway)
        summary = finished(config)
        if summary:
            if known_rank() == 0 and not os.path.exists(os.path.join(resume, "report.html")):
                job.report(resume)  # the run was killed before it
            return summary
        require_data(config)
    run = Run(config, comm, record, resume_anyway)
    return run.train(job(run))


class Run:
    """One run of training: where it computes, what it writes, and the loop.

    Parameters
    ----------
    config : RunConfig
    comm : {'dist_sync', 'horovod', None}
        How this process, started as one of several ranks, talks to the others; None for one that is alone.
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
        If there are no such devices, or they cannot compute as the settings want it.
    """

    def __init__(self, config, comm=None, record=None, resume_anyway=False):
        self._begin = time.perf_counter()
        self._comm, self._record, self._resume_anyway = comm, record, resume_anyway
        self.config = config
        self.devices = parse_devices(config.devices).of_rank(*place_on_machine() if comm else (0, 1))
        if config.dtype == "bfloat16":
            require_bfloat16(self.devices.contexts)
        self.ranks = join_ranks(comm)
        mx.random.seed(config.seed)
        self.output: Any = NoOutput()
        if self.ranks.rank == 0:
            self.output = OutputFolder(config.output_dir, config.overwrite, self.is_resumed, config.tensorboard)
        self.progress = Progress(self.ranks.rank == 0)

    @property
    def is_resumed(self):
        """Whether it goes on with a run that has begun before."""
        return self._record is not None

    def require_pairs_for_all(self, num_pairs):
        """Complain if a batch of training pairs cannot be divided among the devices."""
        if min(num_pairs, self.config.batch_size) < len(self.devices):
            size = f"{num_pairs} training pairs in batches of {self.config.batch_size}"
            raise UsageError(f"{size} cannot be divided among {len(self.devices)} devices")

    def accelerate(self, net):
        """Let a net compute as fast as the settings allow.

        Returns
        -------
        bool
            Whether it uses the C++ operators.
        """
        config = self.config
        threads.use_cores(self.devices.contexts)
        if config.dtype == "bfloat16":
            use_bfloat16(net)
            is_native = True
        else:
            is_native = not config.no_native and accelerate(net)
        net.hybridize(static_alloc=True)
        return is_native

    def train(self, job):
        """Train to the end.

        Parameters
        ----------
        job : FineTuning or Pretraining
            What there is to do.

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
        with self.output, stopping, self.progress:
            self._write_config(job)
            job.meter.restart()
            parts = {"meter": job.meter, "best": job.judge, "stream": job.stream}
            folder = Path(config.output_dir)
            stays = what_stays(config, self.ranks.num_ranks)
            snapshots = Snapshots(folder, config.keep, job.net, job.optimizer, self.ranks, self.output, parts, stays)
            if self.is_resumed:
                update = snapshots.resume()
                if update > job.num_updates:
                    raise PluginError(f"checkpoint {update} is of a longer run: this one has {job.num_updates} updates")
                self.progress.go_on_from(update)
                place = f"resumed after update {update}" if update else "no checkpoint yet: starting from the beginning"
                self.progress.say(place)
            self._loop(job, stopping, snapshots)
            snapshots.wait()
            summary = {"updates": job.optimizer.num_updates_done, **job.finish()}
            summary["seconds"] = round(time.perf_counter() - self._begin, 2)
            summary["peak_rss_mb"] = peak_rss_mb()
            self.output.write_summary(summary)
            if self.ranks.rank == 0:
                job.report(config.output_dir)
        self.ranks.close()
        return summary

    def _loop(self, job, stopping, snapshots):
        config, optimizer, meter = self.config, job.optimizer, job.meter
        groups = iter(job.stream)
        while optimizer.num_updates_done < job.num_updates and not job.judge.is_final:
            group = next(groups)
            update = optimizer.num_updates_done + 1
            mx.random.seed(_seed(config.seed, self.ranks.rank, update - 1))
            for batch in group.batches:
                with mx.autograd.record():
                    optimizer.backward(job.losses(update, batch, group))
            lr = optimizer.next_learning_rate
            optimizer.update()
            self.progress.advance()

            is_milestone = update == job.num_updates or (group.ends_epoch and job.has_epochs)
            is_evaluated = is_milestone or (config.eval_steps and update % config.eval_steps == 0)
            if is_evaluated or update % config.log_steps == 0:
                figures = meter.read()
                optimizer.require_sound_gradients()
                self.output.write_metrics(kind="train", epoch=group.epoch, update=update, lr=lr, **figures)
                self.progress.show(group.epoch, figures, lr)
            if is_evaluated:
                job.judge.evaluate(group.epoch, update)
                meter.restart()
            reason = stopping.reason(update, self.ranks, snapshots.seconds_to_write)
            if reason or is_milestone or (config.checkpoint_steps and update % config.checkpoint_steps == 0):
                snapshots.write(wait=bool(reason))
            if reason:
                raise reason

    def _write_config(self, job):
        """Record what it takes to repeat the run; of one that goes on, make sure that it is the same."""
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


def _seed(*numbers):
    """A seed for MXNet: dropout masks depend on (seed, rank, update), not on what this process has done before."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0]) >> 1
