"""Fine-tuning, from pairs and a pretrained BERT to a saved classifier."""

import math
import time
from typing import TYPE_CHECKING, Any, Callable, Dict, Optional

import numpy as np

from ..data.batches import LengthBucketBatches
from ..data.encoding import EncodedPairs
from ..evaluate.predictor import Predictor
from ..formats.model_folder import load_model
from ..model.inference import mean_loss
from ..report import try_report
from ..system.memory import give_back_large_blocks
from ..tasks.common_classes import CommonClasses
from ..tasks.task import find_task
from .corpus import load_corpus
from .engines.engine import Engine
from .engines.objectives import Classification
from .initial_model import initial_model
from .loop import Run, train
from .progress import Meter
from .settings.finetune_config import FinetuneConfig
from .settings.options import FinetuneOptions, with_options_of
from .update_batches import UpdateBatches
from .used_rows import TABLE, UsedRows

if TYPE_CHECKING:
    from typing_extensions import Unpack


_IN_TABLE = ("train", "dev", "test")  # the sets whose tokens have rows in the table that is trained


@with_options_of(FinetuneConfig)
def finetune(
    comm: Optional[str] = None,
    resume: Optional[str] = None,
    resume_anyway: bool = False,
    **options: "Unpack[FinetuneOptions]",
) -> Dict[str, Any]:
    """Fine-tune a BERT for natural language inference.

    Parameters
    ----------
    comm : {'dist_sync', 'horovod', None}
        How this process, started as one of several ranks, talks to the others: MXNet's parameter server or Horovod.
        None for a single process. Rank 0 writes the output.
    resume : str or None
        The output folder of a run that is not finished: continue from its newest checkpoint, to the same result.
    resume_anyway : bool, default False
        Even where data, packages, devices or anything else that matters has changed since.
    **options
        The fields of :class:`~.settings.finetune_config.FinetuneConfig`, by name; ``output_dir`` is required.
        With `resume`, only ``checkpoint_steps``, ``keep`` and ``max_seconds``.

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
    return train(FinetuneConfig, FineTuning, FineTuning.report, dict(options), comm, resume, resume_anyway)


class FineTuning:
    """Fine-tuning, a :class:`.job.Job`.

    Parameters
    ----------
    run : Run

    Attributes
    ----------
    engine : Engine
    update_batches : UpdateBatches
    meter : Meter
    evaluator : Best
    num_updates : int
        Of the whole run.
    has_epochs : bool
        Whether the end of an epoch is a time to evaluate and to write a checkpoint.
    evaluates_first : bool
        Whether to evaluate before the first update: a fine-tuned model may be better than what is made of it.
    """

    has_epochs = True

    def __init__(self, run: Run) -> None:
        config: Any = run.config
        ranks = run.ranks
        self._run = run
        give_back_large_blocks()
        self._initial = initial_model(config, run.devices.contexts)
        if self._initial.remark and not run.is_resumed:
            run.progress.say(self._initial.remark)
        self._model = self._initial.model
        self._net = self._model.net
        ranks.share(self._net.collect_params().values())
        self._corpus = load_corpus(config, self._model.encoder(), tells=ranks.rank == 0)
        # What is scored at the end is scored by the saved model, with the whole vocabulary. The first test set has rows
        # nevertheless: the checkpoints of runs that earlier versions began hold them.
        encoded = {name: self._corpus[name].encoded for name in _IN_TABLE if name in self._corpus}
        self._rows = None
        if config.optimizer == "bertadam" or not config.weight_decay:  # Adam's decay moves unused rows in its own way
            self._rows = UsedRows(self._net, encoded)
            encoded = {name: self._rows.renumber(pairs) for name, pairs in encoded.items()}
        batches = LengthBucketBatches(
            encoded["train"],
            config.batch_size,
            seed=config.seed,
            rank=ranks.rank,
            num_ranks=ranks.num_ranks,
            min_size=run.devices.least_pairs,
            mixture=self._corpus["train"].mixture,
        )
        run.require_pairs_for_all(batches.num_pairs)
        objective = Classification(self._model.settings)
        self.evaluates_first = self._initial.is_finetuned
        self.num_updates = math.ceil(len(batches) / config.accumulate) * config.epochs
        self.meter = Meter(ranks, objective.means, objective.rate)
        self.engine = run.engine(self._net, objective, batches, self.num_updates, self.meter, encoded["dev"])
        self.update_batches = UpdateBatches(batches, config.accumulate)
        self.evaluator = Best(run, self.engine, encoded["dev"], self._corpus["dev"].classes, self._save)

    def circumstances(self) -> Dict[str, Any]:
        """What the result depends on besides the settings, for ``config.json``."""
        data: Dict[str, Any] = {}
        for name, segment in self._corpus.items():
            data[name] = segment.provenance
            data.update((f"{name} {number}", part) for number, part in enumerate(segment.parts, 1))
        return {
            "operators": self.engine.operators,
            "weights": self._rows.fingerprint if self._rows else None,
            "initial_model": self._initial.record,
            "data": data,
        }

    def finish(self) -> Dict[str, Any]:
        """Score the test pairs, and other pairs that are scored once; returns figures for ``summary.json``."""
        best, output = self.evaluator, self._run.output
        summary: Dict[str, Any] = {
            "dev_accuracy": best.accuracy,
            **{f"dev_{name}": value for name, value in best.figures.items()},
            "best_epoch": best.epoch,
            "best_update": best.update,
            "train_pairs_per_second": round(self.meter.speed, 2),
            "dev_pairs_per_second": round(best.pairs_per_second, 2),
        }
        others = {name: segment for name, segment in self._corpus.items() if name not in ("train", "dev")}
        if others and self._run.ranks.rank == 0:
            predictor = self._best_model()
            for use, segment in others.items():
                scores = segment.classes.logits(predictor.logits(segment.encoded))
                output.write_predictions(use, segment, scores)
                summary[f"{use}_accuracy"] = float((scores.argmax(axis=1) == segment.encoded.labels).mean())
                figures = _figures(self._run, segment.classes, scores, segment.encoded.labels)
                summary.update((f"{use}_{name}", value) for name, value in figures.items())
                self._run.progress.say(f"{use} accuracy {summary[f'{use}_accuracy']:.4f}")
        return summary

    @staticmethod
    def report(folder: str) -> None:
        """Write ``report.html``; a failure has no effect on the run."""
        try_report(folder)

    def _save(self, scores: np.ndarray) -> None:
        output = self._run.output
        self.engine.update_net()
        output.save(self._model, {TABLE: self._rows.table(self.engine.decay)} if self._rows else {})
        output.write_predictions("dev", self._corpus["dev"], scores, self._run.config.dtype)

    def _best_model(self) -> Predictor:
        """The saved model."""
        config, devices = self._run.config, self._run.devices
        dtype, engine = (config.dtype, "xla") if devices.uses_xla else ("float32", "mxnet")
        saved = load_model(config.output_dir, devices.contexts)
        return Predictor(saved, devices.places, dtype=dtype, native=devices.uses_xla, engine=engine)


def _figures(run: Run, classes: CommonClasses, scores: np.ndarray, labels: Any) -> Dict[str, float]:
    """What the metric of the task measures besides accuracy; nothing where the classes are not those of the run."""
    config: Any = run.config
    return find_task(config.task).figures(scores, labels) if classes.labels == config.schema.labels else {}


class Best:
    """Scores the model on the dev pairs and saves the best one in the output folder; a :class:`.job.Evaluator`.

    The best is the one with the highest first figure of the task's metric, which is accuracy for most.

    Parameters
    ----------
    run : Run
    engine : Engine
    encoded : EncodedPairs
        The dev pairs.
    classes : CommonClasses
        Those in which their labels are numbered.
    save : callable
        Saves the model; gets its logits of those classes for those pairs.

    Attributes
    ----------
    accuracy : float
    figures : dict of str to float
        What the metric of the task measures besides.
    epoch, update : int
        When the best score was reached; 0 for before the first update.
    is_final : bool
        Whether patience has run out (early stopping).
    """

    _CHANGES = ("accuracy", "epoch", "update", "is_final", "_since_best", "_seconds", "_num_pairs")

    def __init__(
        self,
        run: Run,
        engine: Engine,
        encoded: EncodedPairs,
        classes: CommonClasses,
        save: Callable[[np.ndarray], None],
    ) -> None:
        self._run, self._engine, self._encoded, self._classes, self._save = run, engine, encoded, classes, save
        self._since_best = 0
        self._seconds = 0.0
        self._num_pairs = 0
        self.accuracy, self.epoch, self.update = -1.0, 0, 0
        self.figures: Dict[str, float] = {}
        self.is_final = False

    def evaluate(self, epoch: int, update: int) -> None:
        begin = time.perf_counter()
        scores = self._classes.logits(self._engine.logits(self._encoded))
        accuracy = float((scores.argmax(axis=1) == self._encoded.labels).mean())
        figures = _figures(self._run, self._classes, scores, self._encoded.labels)
        loss = mean_loss(scores, self._encoded.labels)
        self._seconds += time.perf_counter() - begin
        self._num_pairs += len(self._encoded)
        self._run.output.write_metrics(kind="dev", epoch=epoch, update=update, loss=loss, accuracy=accuracy, **figures)
        is_better = self.accuracy < 0 or self._criterion(accuracy, figures) > self._criterion(
            self.accuracy, self.figures
        )
        remark = ", the best so far" if is_better else ""
        shown = "".join(f", {name} {value:.4f}" for name, value in figures.items())
        self._run.progress.say(
            f"epoch {epoch}, update {update}: dev accuracy {accuracy:.4f}{shown}, loss {loss:.4f}{remark}"
        )
        if is_better:
            self.accuracy, self.epoch, self.update, self.figures = accuracy, epoch, update, figures
            self._since_best = 0
            self._save(scores)
        else:
            self._since_best += 1
            self.is_final = self._since_best == self._run.config.early_stop

    def _criterion(self, accuracy: float, figures: Dict[str, float]) -> float:
        """The first figure of the task's metric, by which GluonNLP's script chooses too."""
        value = figures.get(find_task(self._run.config.task).first_figure(), accuracy)
        return -math.inf if math.isnan(value) else value

    def state_dict(self) -> Dict[str, Any]:
        """The best score so far and when it was reached, in a form that JSON can hold."""
        state = {name: getattr(self, name) for name in self._CHANGES}
        return {**state, "figures": self.figures} if self.figures else state

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        for name in self._CHANGES:
            setattr(self, name, state[name])
        self.figures = state.get("figures", {})
        if self.accuracy >= 0:
            self._run.output.require_model()

    @property
    def pairs_per_second(self) -> float:
        return self._num_pairs / self._seconds if self._seconds else 0.0
