"""Pretraining, from text to a BERT in the model store."""

import os
import time
from typing import TYPE_CHECKING, Any, Dict, Optional, Tuple

import numpy as np

from .. import store
from ..data.pretraining.batches import PretrainingBatches
from ..data.pretraining.documents import encode_documents
from ..errors import UsageError
from ..formats.models import stored_bert
from ..model.family import hparams_of, parts_of, require_special_tokens
from ..model.pretraining import PretrainingNet, new_bert, parameters_of
from ..store import PretrainedBert, keep, require_free
from ..system.files import digest
from ..system.reading import read_bytes
from ..text.tokenizers import bert_tokenizer
from ..text.vocabulary import is_sentencepiece, read_vocabulary
from .engines.engine import Engine
from .engines.objectives import MaskedWordsAndOrder, Objective
from .loop import Run, train
from .progress import Meter
from .settings.options import PretrainOptions, with_options_of
from .settings.pretrain_config import PretrainConfig
from .update_batches import UpdateBatches

if TYPE_CHECKING:
    from typing_extensions import Unpack


@with_options_of(PretrainConfig)
def pretrain(
    comm: Optional[str] = None,
    resume: Optional[str] = None,
    resume_anyway: bool = False,
    **options: "Unpack[PretrainOptions]",
) -> Dict[str, Any]:
    """Pretrain a BERT on text: masked words and next sentences.

    Parameters
    ----------
    comm, resume, resume_anyway
        As :func:`~gluonnlp_snli_plugin.finetune` takes them.
    **options
        The fields of :class:`~gluonnlp_snli_plugin.train.settings.pretrain_config.PretrainConfig`, by name; ``name``,
        ``corpus``, ``steps`` and ``vocab`` or ``init_from`` are required.

    Returns
    -------
    dict
        What ``summary.json`` holds: mlm_loss, mlm_accuracy, nsp_loss and nsp_accuracy on held-out documents,
        train_tokens_per_second, backbone, dataset_name, ...

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
    >>> pretrain(name='my_bert_uncased', vocab='my_vocab_uncased', corpus=['text.txt'], steps=10000)
    >>> finetune(dataset_name='my_bert_uncased', output_dir='out')
    """
    return train(PretrainConfig, Pretraining, Pretraining.report, dict(options), comm, resume, resume_anyway)


class Pretraining:
    """Pretraining, a :class:`.job.Job`.

    Parameters
    ----------
    run : Run
    """

    has_epochs = False
    evaluates_first = False

    def __init__(self, run: Run) -> None:
        config: Any = run.config
        ranks = run.ranks
        self._run = run
        backbone = config.backbone or (store.only_backbone(config.init_from) if config.init_from else "bert_2_256_4")
        if set(parts_of(backbone)) != {"pooler", "decoder", "classifier"}:
            raise UsageError(
                f"pretraining includes next-sentence prediction, for which {backbone} has no output: --backbone "
                "bert_LAYERS_UNITS_HEADS"
            )
        if config.init_from:
            store.require(backbone, config.init_from)
        self._vocab_file = _vocabulary_file(config)
        self._vocab, self._special_tokens = read_vocabulary(self._vocab_file)
        require_special_tokens(backbone, self._vocab)
        self._is_spiece = is_sentencepiece(self._vocab_file)
        self._vocab_content = read_bytes(self._vocab_file) if self._is_spiece else self._vocab.to_json().encode()
        self._source = os.path.realpath(config.output_dir)
        stored = store.checkpoints().get(f"{backbone}_{config.name}")
        # A BERT that this run stored itself before it was killed may be replaced.
        is_own = run.is_resumed and stored and stored.source == self._source
        self._overwrite = bool(config.overwrite or is_own)
        source, spiece = config.init_from or config.vocab, self._vocab_file if self._is_spiece else None
        self._tokenizer = store.tokenizer(source, self._vocab, config.name.endswith("_uncased"), spiece)
        require_free(backbone, config.name, self._vocab_content, self._tokenizer, self._overwrite)
        self._train, held_out = _documents(config, bert_tokenizer(self._vocab, self._tokenizer, spiece))
        contexts = run.devices.contexts
        self._hparams = {**hparams_of(backbone), "dropout": config.dropout}
        if config.max_len > self._hparams["max_length"]:
            longest = self._hparams["max_length"]
            raise UsageError(f"--max-len is {config.max_len}; {backbone} takes inputs of up to {longest} tokens")
        if config.init_from:
            bert, different = stored_bert(backbone, config.init_from, contexts, dropout=config.dropout)
            self._hparams.update(different)
        else:
            bert = new_bert(backbone, self._vocab, contexts, config.init or "width", dropout=config.dropout)
        self._backbone = backbone
        self.net = PretrainingNet(bert)
        ranks.share(self.net.collect_params().values())
        batches = self._batches(self._train, seed=config.seed, min_size=run.devices.least_pairs)
        run.require_pairs_for_all(batches.num_pairs(0))
        self.num_updates = config.steps
        objective = MaskedWordsAndOrder({**self._hparams, "dropout": config.dropout}, config.mask_ratio)
        self.meter = Meter(ranks, objective.means, objective.rate)
        self.engine = run.engine(self.net, objective, batches, self.num_updates, self.meter)
        self.update_batches = UpdateBatches(batches, config.accumulate)
        self.evaluator = _HeldOut(run, self.engine, objective, self._batches(held_out, fixed=True))
        self._held_out = held_out

    def _batches(self, documents: Any, **settings: Any) -> PretrainingBatches:
        config, ranks = self._run.config, self._run.ranks
        return PretrainingBatches(
            documents,
            self._vocab,
            config.batch_size,
            config.max_len,
            short_seq_prob=config.short_seq_prob,
            mask_ratio=config.mask_ratio,
            whole_word_mask=config.whole_word_mask,
            rank=ranks.rank,
            num_ranks=ranks.num_ranks,
            **settings,
        )

    def circumstances(self) -> Dict[str, Any]:
        """What the result depends on besides the settings, for ``config.json``."""
        data = {
            name: {"sha256": documents.fingerprint, "documents": len(documents), "tokens": documents.num_tokens}
            for name, documents in (("train", self._train), ("held_out", self._held_out))
        }
        data["vocabulary"] = {"sha256": digest(self._vocab_file), "tokens": len(self._vocab)}
        return {"operators": self.engine.operators, "backbone": self._backbone, "data": data}

    def finish(self) -> Dict[str, Any]:
        """Put the BERT into the model store; returns figures for ``summary.json``."""
        config = self._run.config
        summary = {
            **self.evaluator.figures,
            "train_tokens_per_second": round(self.meter.speed, 1),
            "backbone": self._backbone,
            "dataset_name": config.name,
        }
        self.engine.update_net()
        if self._run.ranks.rank == 0:
            bert = PretrainedBert(
                backbone=self._backbone,
                hparams={**self._hparams, "dropout": hparams_of(self._backbone)["dropout"]},
                parameters=parameters_of(self.net.bert),
                parts=["pooler", "decoder", "classifier"],
                vocab_content=self._vocab_content,
                vocab_extension=".spiece" if self._is_spiece else ".vocab",
                special_tokens=self._special_tokens,
                tokenizer=self._tokenizer,
            )
            keep(bert, config.name, self._source, overwrite=self._overwrite)
        return summary

    @staticmethod
    def report(folder: str) -> None:
        """Do nothing: pretraining has no report."""


class _HeldOut:
    """Measures both losses on the held-out documents, always with the same masks.

    Attributes
    ----------
    figures : dict
        The last ones.
    is_final : bool
        Always False: pretraining runs for a fixed number of steps.
    """

    is_final = False

    def __init__(self, run: Run, engine: Engine, objective: Objective, batches: PretrainingBatches) -> None:
        self._run, self._engine, self._means, self._batches = run, engine, objective.means, batches
        self.figures: Dict[str, float] = {}

    def evaluate(self, epoch: int, update: int) -> None:
        begin = time.perf_counter()
        names = [*self._means, "masks", "pairs", "tokens"]
        sums = self._engine.sums(self._batches.epoch(0))
        own = np.array([sums.get(name, 0.0) for name in names])  # a rank may have no batch
        totals = dict(zip(names, self._run.ranks.gather(own).sum(axis=0).tolist()))
        self.figures = {name: totals[name] / totals[count] for name, count in self._means.items()}
        speed = {"tokens_per_second": totals["tokens"] / (time.perf_counter() - begin)}
        self._run.output.write_metrics(kind="dev", epoch=epoch, update=update, **self.figures, **speed)
        text = ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in self.figures.items())
        self._run.progress.say(f"update {update}, held-out documents: {text}")

    def state_dict(self) -> Dict[str, Any]:
        """The last figures, in a form that JSON can hold."""
        return {"figures": self.figures}

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        self.figures = state["figures"]


def _vocabulary_file(config: Any) -> Any:
    """The vocabulary file of a run."""
    if not config.init_from:
        return store.find_vocabulary(config.vocab)
    file = store.vocabulary(config.init_from)
    if config.vocab:
        given = store.find_vocabulary(config.vocab)
        if read_vocabulary(given)[0].token_to_idx != read_vocabulary(file)[0].token_to_idx:
            raise UsageError(f"{given} is not the vocabulary of {config.init_from}, which has its own: omit --vocab")
    return file


def _documents(config: Any, tokenizer: Any) -> Tuple[Any, Any]:
    """Documents to train on, and to evaluate on."""

    def encode(paths: Any) -> Any:
        return encode_documents(paths, tokenizer, tokenizer.vocab, config.max_len, config.corpus_format)

    train = encode(config.corpus)
    if not config.dev_corpus:
        return train.split(config.held_out_ratio, config.seed)
    held_out = encode(config.dev_corpus)
    for documents in (train, held_out):
        documents.require_two()
    return train, held_out
