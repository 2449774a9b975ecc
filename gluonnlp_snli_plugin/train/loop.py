"""Fine-tuning, from pairs and a pretrained BERT to a saved classifier."""

import itertools
import math
import sys
import time

import mxnet as mx
from mxnet.contrib import amp

from ..data.batches import LengthBucketBatches
from ..errors import UsageError
from ..model.folder import load_model
from ..model.inference import logits, mean_loss
from .comm import parse_devices
from .config import configure
from .corpus import load_corpus
from .optimizer import Optimizer
from .output import OutputFolder, peak_rss_mb
from .progress import Meter, Progress
from .start import starting_model


def finetune(**options):
    """Fine-tune a BERT for natural language inference.

    Parameters
    ----------
    **options
        The fields of :class:`~gluonnlp_snli_plugin.train.config.FinetuneConfig`, by name; ``output_dir`` is required.

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

    Examples
    --------
    >>> finetune(dataset_name='minilm_uncased', train_file='train.jsonl', dev_file='dev.jsonl', output_dir='out')
    """
    begin = time.perf_counter()
    config = configure(**options)
    devices = parse_devices(config.gpus, config.devices)
    is_float16 = config.dtype == "float16"
    if is_float16:
        if not devices.is_gpu:
            raise UsageError("--dtype float16 needs a GPU: name it with --gpus 0")
        amp.init()  # must come before the net
    mx.random.seed(config.seed)

    output = OutputFolder(config.output_dir, config.overwrite)
    model = starting_model(config, devices.contexts)
    corpus = load_corpus(config)
    encoder = model.encoder()
    encoded = {name: encoder.encode(*segment.columns) for name, segment in corpus.items()}
    batches = LengthBucketBatches(
        encoded["train"], config.batch_size, seed=config.seed, min_size=len(devices), round_to=8 if is_float16 else 1
    )
    if min(len(encoded["train"]), config.batch_size) < len(devices):
        size = f"{len(encoded['train'])} training pairs in batches of {config.batch_size}"
        raise UsageError(f"{size} cannot be divided among {len(devices)} devices")

    net = model.net
    net.hybridize(static_alloc=True)
    cross_entropy = mx.gluon.loss.SoftmaxCrossEntropyLoss()
    cross_entropy.hybridize(static_alloc=True)
    updates_per_epoch = math.ceil(len(batches) / config.accumulate)
    num_updates = updates_per_epoch * config.epochs
    optimizer = Optimizer(net, config, num_updates)

    with output, Progress(num_updates) as progress:
        output.write_config(
            config,
            command=sys.argv,
            devices=str(devices),
            data={name: {**corpus[name].provenance, "truncated": encoded[name].num_truncated} for name in corpus},
        )
        meter = Meter()
        best = _Best(model, encoded["dev"], devices, output, progress, patience=config.early_stop)
        for epoch in range(1, config.epochs + 1):
            for group in _groups(batches.epoch(epoch - 1), config.accumulate):
                num_pairs = sum(len(batch.label) for batch in group)
                for batch in group:
                    with mx.autograd.record():
                        losses = []
                        for input_ids, segment_ids, valid_length, label in devices.split(batch):
                            out = net(input_ids, segment_ids, valid_length)
                            loss = cross_entropy(out, label).sum()
                            losses.append(loss / num_pairs)
                            meter.add(loss, out, label)
                        optimizer.backward(losses)
                lr = optimizer.next_learning_rate
                optimizer.update()
                progress.advance()

                update = optimizer.num_updates_done
                ends_epoch = update == updates_per_epoch * epoch
                is_evaluated = ends_epoch or (config.eval_steps and update % config.eval_steps == 0)
                if is_evaluated or update % config.log_steps == 0:
                    figures = meter.read()
                    output.write_metrics(kind="train", epoch=epoch, update=update, lr=lr, **figures)
                    progress.show(epoch, lr=lr, **figures)
                if is_evaluated:
                    best.evaluate(epoch, update)
                    meter.restart()
                if best.is_final:
                    break
            if best.is_final:
                break

        summary = {
            "dev_accuracy": best.accuracy,
            "best_epoch": best.epoch,
            "best_update": best.update,
            "updates": optimizer.num_updates_done,
            "train_pairs_per_second": round(meter.pairs_per_second, 2),
            "dev_pairs_per_second": round(best.pairs_per_second, 2),
        }
        if "test" in encoded:
            summary["test_accuracy"] = _test_accuracy(output.path, encoded["test"], devices)
            progress.say(f"test accuracy {summary['test_accuracy']:.4f}")
        summary["seconds"] = round(time.perf_counter() - begin, 2)
        summary["peak_rss_mb"] = peak_rss_mb()
        output.write_summary(summary)
    return summary


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

    def __init__(self, model, encoded, devices, output, progress, patience):
        self._model, self._encoded, self._devices = model, encoded, devices
        self._output, self._progress, self._patience = output, progress, patience
        self._since_best = 0
        self._seconds = 0.0
        self._num_pairs = 0
        self.accuracy, self.epoch, self.update = -1.0, 0, 0
        self.is_final = False

    def evaluate(self, epoch, update):
        begin = time.perf_counter()
        scores = logits(self._model.net, self._encoded, self._devices.contexts)
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
            self._output.save(self._model)
        else:
            self._since_best += 1
            self.is_final = self._since_best == self._patience

    @property
    def pairs_per_second(self):
        return self._num_pairs / self._seconds


def _test_accuracy(folder, encoded, devices):
    """Accuracy of the saved model, the best one, on the test pairs."""
    net = load_model(folder, devices.contexts).net
    net.hybridize(static_alloc=True)
    return float((logits(net, encoded, devices.contexts).argmax(axis=1) == encoded.labels).mean())
