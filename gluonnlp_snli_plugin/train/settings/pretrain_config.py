"""The settings of pretraining."""

import dataclasses
from typing import Any, ClassVar, Dict, Iterator, Optional, Tuple

from ...data.pretraining.corpus import CORPUS_FORMATS
from .config import RunConfig, option


@dataclasses.dataclass(frozen=True)
class PretrainConfig(RunConfig):
    """Settings of one pretraining run; defaults that differ from those of fine-tuning are GluonNLP's."""

    COMMAND: ClassVar[str] = "pretrain"
    DATA_FILES: ClassVar[Tuple[str, ...]] = ("corpus", "dev_corpus")
    FIGURES: ClassVar[Tuple[str, ...]] = (
        *("mlm_loss", "mlm_accuracy", "nsp_loss", "nsp_accuracy"),
        *("train_tokens_per_second", "seconds"),
    )
    PATHS: ClassVar[Tuple[str, ...]] = (*DATA_FILES, "vocab")

    output_dir: str = option("", "folder for checkpoints, metrics and settings (default: out/NAME)", metavar="OUT")
    overwrite: bool = option(False, "replace the run that is in OUT, and weights that the store has under that name")
    name: str = option("", "name for weights and vocabulary in the store, ending in _cased or _uncased", metavar="NAME")
    corpus: Tuple[str, ...] = option((), "files of text to train on", nargs="+", metavar="F")
    dev_corpus: Tuple[str, ...] = option((), "files of text to evaluate on", nargs="+", metavar="F")
    held_out_ratio: float = option(0.05, "without --dev-corpus: share of the documents that are only evaluated on")
    corpus_format: str = option("auto", "format of the text; auto detects it", choices=CORPUS_FORMATS)

    backbone: Optional[str] = option(
        None, "BERT architecture, bert_LAYERS_UNITS_HEADS (default: bert_2_256_4)", metavar="NAME"
    )
    vocab: Optional[str] = option(
        None, "vocabulary: a name in the store, vocab.txt, or a SentencePiece .model", metavar="V"
    )
    init: Optional[str] = option(
        None, "random weights: scaled by width (the default), or BERT's 0.02", choices=("width", "bert")
    )
    init_from: Optional[str] = option(
        None, "start from these weights of the store, with their vocabulary", metavar="NAME"
    )

    short_seq_prob: float = option(0.1, "share of the pairs that are shorter than the longest input")
    mask_ratio: float = option(0.15, "share of the tokens to predict")
    whole_word_mask: bool = option(False, "mask all pieces of a word, or none")

    steps: int = option(0, "updates")
    lr: float = option(1e-4, "highest learning rate")
    warmup_ratio: float = option(0.01, "share of the updates in which the learning rate rises")
    eval_steps: int = option(1000, "updates between two evaluations; 0 for one at the end only")
    checkpoint_steps: int = option(500, "updates between two checkpoints; 0 for one at the end only")

    @classmethod
    def usual(cls, options: Dict[str, Any]) -> Dict[str, Any]:
        return {"output_dir": f"out/{options['name']}"} if options.get("name") else {}

    def _check_names(self) -> None:
        from ...store import require_name  # imports MXNet, which parsing options does not need

        require_name(self.name)

    def _complaints(self) -> Iterator[str]:
        if not self.name:
            yield "--name is missing: give the name under which the store keeps the BERT"
        yield from super()._complaints()
        if not self.corpus:
            yield "--corpus is missing: which files of text?"
        if not self.vocab and not self.init_from:
            yield "--vocab is missing: make one with gluonnlp-snli train-vocab, or give --init-from NAME"
        if self.init and self.init_from:
            yield f"--init {self.init} is for random weights: omit --init-from"
        yield from self._below(1, "steps")
        yield from self._not_in_unit_interval("short_seq_prob", "held_out_ratio")
        if not 0 < self.mask_ratio < 1:
            yield f"--mask-ratio is {self.mask_ratio}; it must be in (0, 1)"
        if not self.dev_corpus and not self.held_out_ratio:
            yield "--held-out-ratio is 0: give --dev-corpus to evaluate on"
        for name in filter(None, (self.vocab, self.init_from)):
            if name.endswith("cased") and name.endswith("_uncased") != self.name.endswith("_uncased"):
                yield f"{name} and --name {self.name} disagree about the case"
