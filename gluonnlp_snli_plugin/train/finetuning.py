"""Fine-tuning, from pairs and a pretrained BERT to a saved classifier."""

import math
import time

import mxnet as mx

from ..data.batches import LengthBucketBatches
from ..formats.model_folder import load_model
from ..model.inference import for_evaluation, logits, mean_loss
from ..report import try_report
from ..system.memory import give_back_large_blocks
from .corpus import load_corpus
from .finetune_config import FinetuneConfig
from .initial_model import starting_model
from .loop import train
from .optimizer import Optimizer
from .progress import Meter
from .update_batches import Stream
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
        The fields of :class:`~gluonnlp_snli_plugin.train.finetune_config.FinetuneConfig`, by name; ``output_dir`` is
        required. With `resume` only ``checkpoint_steps``, ``keep`` and ``max_seconds``.

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
    return train(FinetuneConfig, FineTuning, options, comm, resume, resume_anyway)


class FineTuning:
    """What fine-tuning brings to the training loop.

    Parameters
    ----------
    run : Run

    Attributes
    ----------
    net : SNLIBertClassifier
    stream : Stream
    optimizer : Optimizer
    meter : Meter
    judge : Best
    num_updates : int
        Of the whole run.
    has_epochs : bool
        Whether the end of an epoch is a time to evaluate and to write a checkpoint.
    """

    has_epochs = True

    def __init__(self, run):
        config, ranks = run.config, run.ranks
        self._run = run
        give_back_large_blocks()
        self._model = starting_model(config, run.devices.contexts)
        self.net = self._model.net
        ranks.share(self.net.collect_params().values())
        self._corpus = load_corpus(config, self._model.encoder(), tells=ranks.rank == 0)
        encoded = {name: segment.encoded for name, segment in self._corpus.items()}
        self._rows = None
        if config.optimizer == "bertadam" or not config.weight_decay:  # Adam's decay moves unused rows in its own way
            self._rows = UsedRows(self.net, encoded)
            encoded = {name: self._rows.renumber(pairs) for name, pairs in encoded.items()}
        batches = LengthBucketBatches(
            encoded["train"],
            config.batch_size,
            seed=config.seed,
            rank=ranks.rank,
            num_ranks=ranks.num_ranks,
            min_size=len(run.devices),
        )
        run.require_pairs_for_all(len(encoded["train"]))
        self._is_native = run.accelerate(self.net)
        self._cross_entropy = mx.gluon.loss.SoftmaxCrossEntropyLoss()
        self._cross_entropy.hybridize(static_alloc=True)
        self.num_updates = math.ceil(len(batches) / config.accumulate) * config.epochs
        self.optimizer = Optimizer(self.net, config, self.num_updates, ranks)
        self.stream = Stream(batches, config.accumulate)
        self.meter = Meter(ranks, {"loss": "pairs", "accuracy": "pairs"}, rate="pairs")
        self.judge = Best(run, for_evaluation(self.net), encoded["dev"], self._save)
        self._reserve_memory(batches.longest())

    def circumstances(self):
        """What the result depends on besides the settings, for ``config.json``."""
        return {
            "operators": "C++" if self._is_native else "MXNet",
            "weights": self._rows.fingerprint if self._rows else None,
            "data": {name: segment.provenance for name, segment in self._corpus.items()},
        }

    def _reserve_memory(self, batch):
        """Let MXNet take the memory that training needs, by a batch of the longest pairs whose gradients are forgotten.

        Otherwise each batch that is longer than all before it takes new memory and wastes a part of the old: it grows
        for thousands of updates.
        """
        for input_ids, segment_ids, valid_length, label, _ in self._run.devices.split(batch):
            with mx.autograd.record():
                self._cross_entropy(self.net(input_ids, segment_ids, valid_length), label).backward()
        self.optimizer.forget_gradients()

    def losses(self, update, batch, group):
        """The losses of a batch, one on each device; their sums over a group and the ranks are a mean over pairs."""
        num_pairs = sum(one.num_pairs for one in group.batches) / self._run.ranks.num_ranks
        losses = []
        for input_ids, segment_ids, valid_length, label, index in self._run.devices.split(batch):
            out = self.net(input_ids, segment_ids, valid_length)
            loss = self._cross_entropy(out, label).sum()
            losses.append(loss / num_pairs)
            with mx.autograd.pause():
                hits = (out.argmax(axis=1).astype("int32") == label).sum()
            self.meter.add(update, index, loss=loss, accuracy=hits, pairs=len(label))
        return losses

    def finish(self):
        """What there is to do after the last update; gives figures for ``summary.json``."""
        best, config, output = self.judge, self._run.config, self._run.output
        summary = {
            "dev_accuracy": best.accuracy,
            "best_epoch": best.epoch,
            "best_update": best.update,
            "train_pairs_per_second": round(self.meter.speed, 2),
            "dev_pairs_per_second": round(best.pairs_per_second, 2),
        }
        if "test" in self._corpus and self._run.ranks.rank == 0:
            test = self._corpus["test"]
            scores = _test_scores(config.output_dir, test.encoded, self._run.devices)
            output.write_predictions("test", test, scores)
            summary["test_accuracy"] = float((scores.argmax(axis=1) == test.encoded.labels).mean())
            self._run.progress.say(f"test accuracy {summary['test_accuracy']:.4f}")
        return summary

    @staticmethod
    def report(folder):
        """Write ``report.html``; whether that works has no effect on the run."""
        try_report(folder)

    def _save(self, scores):
        output = self._run.output
        output.save(self._model, {TABLE: self._rows.table(self.optimizer.decay)} if self._rows else {})
        output.write_predictions("dev", self._corpus["dev"], scores, self._run.config.dtype)


class Best:
    """Scores the model on the dev pairs and keeps the best one in the output folder.

    Parameters
    ----------
    run : Run
    net : SNLIBertClassifier
    encoded : EncodedPairs
        The dev pairs.
    save : callable
        Keeps the model; gets its logits for those pairs.

    Attributes
    ----------
    accuracy : float
    epoch, update : int
        When the best score was reached.
    is_final : bool
        Whether patience has run out (early stopping).
    """

    _CHANGES = ("accuracy", "epoch", "update", "is_final", "_since_best", "_seconds", "_num_pairs")

    def __init__(self, run, net, encoded, save):
        self._run, self._net, self._encoded, self._save = run, net, encoded, save
        self._since_best = 0
        self._seconds = 0.0
        self._num_pairs = 0
        self.accuracy, self.epoch, self.update = -1.0, 0, 0
        self.is_final = False

    def evaluate(self, epoch, update):
        begin = time.perf_counter()
        ranks = self._run.ranks
        scores = logits(
            self._net, self._encoded, self._run.devices.contexts, rank=ranks.rank, num_ranks=ranks.num_ranks
        )
        scores = ranks.add_up("scores", scores)  # each rank has those of its share, and zeros
        accuracy = float((scores.argmax(axis=1) == self._encoded.labels).mean())
        loss = mean_loss(scores, self._encoded.labels)
        self._seconds += time.perf_counter() - begin
        self._num_pairs += len(self._encoded)
        self._run.output.write_metrics(kind="dev", epoch=epoch, update=update, loss=loss, accuracy=accuracy)
        is_better = accuracy > self.accuracy
        remark = ", the best so far" if is_better else ""
        self._run.progress.say(f"epoch {epoch}, update {update}: dev accuracy {accuracy:.4f}, loss {loss:.4f}{remark}")
        if is_better:
            self.accuracy, self.epoch, self.update = accuracy, epoch, update
            self._since_best = 0
            self._save(scores)
        else:
            self._since_best += 1
            self.is_final = self._since_best == self._run.config.early_stop

    def state(self):
        """What :meth:`go_on_from` needs, in a form that JSON can hold."""
        return {name: getattr(self, name) for name in self._CHANGES}

    def go_on_from(self, state):
        for name in self._CHANGES:
            setattr(self, name, state[name])
        if self.update:
            self._run.output.require_model()

    @property
    def pairs_per_second(self):
        return self._num_pairs / self._seconds if self._seconds else 0.0


def _test_scores(folder, encoded, devices):
    """Logits of the saved model, the best one, for the test pairs."""
    net = load_model(folder, devices.contexts).net
    net.hybridize(static_alloc=True)
    return logits(net, encoded, devices.contexts)
