"""Fine-tuning, from pairs and a pretrained BERT to a saved classifier."""

import itertools
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np
from mxnet.contrib import amp

from ..data.batches import LengthBucketBatches
from ..errors import UsageError
from ..model.folder import load_model
from ..model.inference import logits, mean_loss
from ..native import accelerate, has_bfloat16
from .comm import join_ranks, parse_devices, place_on_machine
from .config import command_line, configure
from .corpus import load_corpus
from .optimizer import Optimizer
from .output import NoOutput, OutputFolder, peak_rss_mb, versions
from .progress import Meter, Progress
from .resume import finished, recorded_run, require_same
from .snapshots import Snapshots
from .start import starting_model
from .stopping import Stopping
from .used_rows import TABLE, UsedRows


def finetune(comm=None, resume=None, resume_anyway=False, **options):
    """Fine-tune a BERT for natural language inference.

    Parameters
    ----------
    comm : {'dist_sync', 'horovod', None}
        How this process, started as one of several ranks, talks to the others: MXNet's parameter server or Horovod.
        None for a process that is alone. Rank 0 writes the output.
    resume : str or None
        The output folder of a run that has not come to its end: go on from its newest checkpoint, to the same result.
    resume_anyway : bool, default False
        Even where data, packages, devices or anything else that matters has changed since.
    **options
        The fields of :class:`~gluonnlp_snli_plugin.train.config.FinetuneConfig`, by name; ``output_dir`` is required.
        With `resume` only ``checkpoint_steps``, ``keep`` and ``max_seconds``.

    Returns
    -------
    dict
        What ``summary.json`` holds: dev_accuracy, best_epoch, train_pairs_per_second, seconds, peak_rss_mb, ...

    Raises
    ------
    UsageError
        If the options make no sense.
    PluginError
        If a file cannot be used, or training fails.
    Stopped
        If a signal or the time has stopped it; there is a checkpoint then.

    Examples
    --------
    >>> finetune(dataset_name='minilm_uncased', train_file='train.jsonl', dev_file='dev.jsonl', output_dir='out')
    """
    begin = time.perf_counter()
    config, record = recorded_run(resume, **options) if resume else (configure(**options), None)
    summary = finished(resume) if resume else None
    if summary:
        return summary
    devices = parse_devices(config.gpus, config.devices).of_rank(*place_on_machine() if comm else (0, 1))
    is_float16 = config.dtype == "float16"
    if is_float16:
        if not devices.is_gpu:
            raise UsageError("--dtype float16 needs a GPU: name it with --gpus 0")
        amp.init()  # must come before the net
    if config.dtype == "bfloat16":
        if devices.is_gpu:
            raise UsageError("--dtype bfloat16 is for CPU; on a GPU it is float16")
        if not has_bfloat16():
            raise UsageError("--dtype bfloat16: this processor has no instructions for it (avx512_bf16, amx_bf16)")
    ranks = join_ranks(comm)
    mx.random.seed(config.seed)

    output: Any = NoOutput()
    if ranks.rank == 0:
        output = OutputFolder(config.output_dir, config.overwrite, bool(resume), config.tensorboard)
    model = starting_model(config, devices.contexts)
    ranks.share(model.net.collect_params().values())
    corpus = load_corpus(config, model.encoder())
    encoded = {name: segment.encoded for name, segment in corpus.items()}
    rows = None
    if config.optimizer == "bertadam" or not config.weight_decay:  # Adam's decay moves unused rows in its own way
        rows = UsedRows(model.net, encoded)
        encoded = {name: rows.renumber(pairs) for name, pairs in encoded.items()}
    batches = LengthBucketBatches(
        encoded["train"],
        config.batch_size,
        seed=config.seed,
        rank=ranks.rank,
        num_ranks=ranks.num_ranks,
        min_size=len(devices),
        round_to=8 if is_float16 else 1,
    )
    if min(len(encoded["train"]), config.batch_size) < len(devices):
        size = f"{len(encoded['train'])} training pairs in batches of {config.batch_size}"
        raise UsageError(f"{size} cannot be divided among {len(devices)} devices")

    net = model.net
    is_native = not config.no_native and accelerate(net, "bfloat16" if config.dtype == "bfloat16" else "float32")
    if not is_native and (config.dtype == "bfloat16" or config.lazy_embeddings):
        option = "--lazy-embeddings" if config.lazy_embeddings else "--dtype bfloat16"
        raise UsageError(f"{option} needs the C++ operators, which are for float32 weights on CPU and need a compiler")
    net.hybridize(static_alloc=True)
    cross_entropy = mx.gluon.loss.SoftmaxCrossEntropyLoss()
    cross_entropy.hybridize(static_alloc=True)
    updates_per_epoch = math.ceil(len(batches) / config.accumulate)
    num_updates = updates_per_epoch * config.epochs
    optimizer = Optimizer(net, config, num_updates, ranks)

    with output, Stopping(config.max_seconds, begin, config.output_dir) as stopping, Progress(
        num_updates, ranks.rank == 0
    ) as progress:
        circumstances = {
            "devices": str(devices),
            "ranks": ranks.num_ranks,
            "comm": comm,
            "threads": os.environ.get("OMP_NUM_THREADS"),
            "operators": "C++" if is_native else "MXNet",
            "weights": rows.fingerprint if rows else None,
            "data": {name: segment.provenance for name, segment in corpus.items()},
            "versions": versions(),
        }
        if record is None:
            commands = {"command": sys.argv, "repeat": command_line(config, ranks.num_ranks, comm)}
            output.write_config(config, **commands, working_folder=os.getcwd(), **circumstances)
        elif not resume_anyway:
            require_same(record, circumstances)
        meter = Meter(ranks)

        def save(scores):
            output.save(model, {TABLE: rows.table(optimizer.decay)} if rows else {})
            output.write_predictions("dev", corpus["dev"], scores, config.dtype)

        best = _Best(net, encoded["dev"], devices, ranks, output, save, progress, patience=config.early_stop)
        parts = {"meter": meter, "best": best}
        snapshots = Snapshots(Path(config.output_dir), config.keep, net, optimizer, ranks, output, parts)
        if resume:
            update = snapshots.resume()
            progress.go_on_from(update)
            progress.say(f"resumed after update {update}" if update else "no checkpoint yet: the run begins anew")

        for epoch in range(optimizer.num_updates_done // updates_per_epoch + 1, config.epochs + 1):
            if best.is_final:
                break
            done = (optimizer.num_updates_done - updates_per_epoch * (epoch - 1)) * config.accumulate
            for group in _groups(batches.epoch(epoch - 1, done), config.accumulate):
                update = optimizer.num_updates_done + 1
                mx.random.seed(_seed(config.seed, ranks.rank, update - 1))
                num_pairs = sum(batch.num_pairs for batch in group) / ranks.num_ranks
                for batch in group:
                    with mx.autograd.record():
                        losses = []
                        for input_ids, segment_ids, valid_length, label, index in devices.split(batch):
                            out = net(input_ids, segment_ids, valid_length)
                            loss = cross_entropy(out, label).sum()
                            losses.append(loss / num_pairs)
                            meter.add(update, loss, out, label, index)
                        optimizer.backward(losses)
                lr = optimizer.next_learning_rate
                optimizer.update()
                progress.advance()

                ends_epoch = update == updates_per_epoch * epoch
                is_evaluated = ends_epoch or (config.eval_steps and update % config.eval_steps == 0)
                if is_evaluated or update % config.log_steps == 0:
                    figures = meter.read()
                    optimizer.require_sound_gradients()
                    output.write_metrics(kind="train", epoch=epoch, update=update, lr=lr, **figures)
                    progress.show(epoch, lr=lr, **figures)
                if is_evaluated:
                    best.evaluate(epoch, update)
                    meter.restart()
                reason = stopping.reason(update, ranks, snapshots.seconds_to_write)
                if reason or ends_epoch or (config.checkpoint_steps and update % config.checkpoint_steps == 0):
                    snapshots.write(wait=bool(reason))
                if reason:
                    raise reason
                if best.is_final:
                    break
        snapshots.wait()

        summary = {
            "dev_accuracy": best.accuracy,
            "best_epoch": best.epoch,
            "best_update": best.update,
            "updates": optimizer.num_updates_done,
            "train_pairs_per_second": round(meter.pairs_per_second, 2),
            "dev_pairs_per_second": round(best.pairs_per_second, 2),
        }
        if "test" in corpus and ranks.rank == 0:
            scores = _test_scores(config.output_dir, corpus["test"].encoded, devices)
            output.write_predictions("test", corpus["test"], scores)
            summary["test_accuracy"] = float((scores.argmax(axis=1) == corpus["test"].encoded.labels).mean())
            progress.say(f"test accuracy {summary['test_accuracy']:.4f}")
        summary["seconds"] = round(time.perf_counter() - begin, 2)
        summary["peak_rss_mb"] = peak_rss_mb()
        output.write_summary(summary)
        output.write_report()
    ranks.close()
    return summary


def _seed(*numbers):
    """A seed for MXNet: dropout masks depend on (seed, rank, update), not on what this process has done before."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0]) >> 1


def _groups(batches, size):
    """Lists of `size` batches, the last one perhaps shorter."""
    batches = iter(batches)
    return iter(lambda: list(itertools.islice(batches, size)), [])


class _Best:
    """Scores the model on the dev pairs and keeps the best one in the output folder.

    Attributes
    ----------
    accuracy : float
    epoch, update : int
        When the best score was reached.
    is_final : bool
        Whether patience has run out (early stopping).
    """

    _CHANGES = ("accuracy", "epoch", "update", "is_final", "_since_best", "_seconds", "_num_pairs")

    def __init__(self, net, encoded, devices, ranks, output, save, progress, patience):
        self._net, self._encoded, self._devices, self._ranks = net, encoded, devices, ranks
        self._output, self._save, self._progress, self._patience = output, save, progress, patience
        self._since_best = 0
        self._seconds = 0.0
        self._num_pairs = 0
        self.accuracy, self.epoch, self.update = -1.0, 0, 0
        self.is_final = False

    def evaluate(self, epoch, update):
        begin = time.perf_counter()
        scores = logits(
            self._net,
            self._encoded,
            self._devices.contexts,
            rank=self._ranks.rank,
            num_ranks=self._ranks.num_ranks,
        )
        scores = self._ranks.add_up("scores", scores)  # each rank has those of its share, and zeros
        accuracy = float((scores.argmax(axis=1) == self._encoded.labels).mean())
        loss = mean_loss(scores, self._encoded.labels)
        self._seconds += time.perf_counter() - begin
        self._num_pairs += len(self._encoded)
        self._output.write_metrics(kind="dev", epoch=epoch, update=update, loss=loss, accuracy=accuracy)
        is_better = accuracy > self.accuracy
        remark = ", the best so far" if is_better else ""
        self._progress.say(f"epoch {epoch}, update {update}: dev accuracy {accuracy:.4f}, loss {loss:.4f}{remark}")
        if is_better:
            self.accuracy, self.epoch, self.update = accuracy, epoch, update
            self._since_best = 0
            self._save(scores)
        else:
            self._since_best += 1
            self.is_final = self._since_best == self._patience

    def state(self):
        """What :meth:`go_on_from` needs, in a form that JSON can hold."""
        return {name: getattr(self, name) for name in self._CHANGES}

    def go_on_from(self, state):
        for name in self._CHANGES:
            setattr(self, name, state[name])
        if self.update:
            self._output.require_model()

    @property
    def pairs_per_second(self):
        return self._num_pairs / self._seconds if self._seconds else 0.0


def _test_scores(folder, encoded, devices):
    """Logits of the saved model, the best one, for the test pairs."""
    net = load_model(folder, devices.contexts).net
    net.hybridize(static_alloc=True)
    return logits(net, encoded, devices.contexts)
