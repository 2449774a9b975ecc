"""The index of the local model store: the BERTs and vocabularies in it, and the names of their files.

It is a JSON file beside them. It holds no paths, so that a store can be copied as it is.
"""

import dataclasses
import itertools
import os
import re
from pathlib import Path
from typing import Any, Dict, List, Optional, Union

from gluonnlp.base import get_home_dir

from ..errors import CheckpointError, UsageError
from ..model.family import family_of, has_family
from ..system.files import is_utf8, write_json
from ..system.reading import read_json, reading
from ..text.tokenizer_settings import TokenizerSettings

INDEX = "gluonnlp_snli_plugin.json"
_SHA1 = re.compile("[0-9a-f]{40}")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*_(un)?cased")  # of weights and vocabulary
_BACKBONE = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # part of the names of files, too


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """One vocabulary: what its file is called and how to read it.

    Attributes
    ----------
    name : str
        Ends in ``_cased`` or ``_uncased``.
    sha1 : str
        Of the file.
    extension : str
        '.vocab' (GluonNLP's JSON) or '.spiece' (a SentencePiece model).
    special_tokens : dict
        What ``BERTVocab.from_sentencepiece`` must be told.
    source : str
        What it was trained on or imported from.
    tokenizer : TokenizerSettings
        What is done with text; by default what GluonNLP's tokenizer does for a vocabulary of that name.
    """

    name: str
    sha1: str
    extension: str = ".vocab"
    special_tokens: Dict[str, str] = dataclasses.field(default_factory=dict)
    source: str = ""
    tokenizer: TokenizerSettings = None  # type: ignore[assignment]  # set in __post_init__

    def __post_init__(self) -> None:
        _set_tokenizer(self, self.name)

    @property
    def file(self) -> str:
        return f"{self.name}-{self.sha1[:8]}{self.extension}"

    def is_same(self, other: "Vocabulary") -> bool:
        """Whether both are the same, wherever they came from."""
        return dataclasses.replace(self, source=other.source) == other


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """One BERT: what its files are called and how to build it.

    Attributes
    ----------
    backbone : str
        Architecture, ``bert_L_H_A``.
    dataset_name : str
        Name of weights and vocabulary; ends in ``_cased`` or ``_uncased``.
    weights_sha1, vocab_sha1 : str
    vocab_extension : str
        '.vocab' (GluonNLP's JSON) or '.spiece' (a SentencePiece model).
    special_tokens : dict
        What ``BERTVocab.from_sentencepiece`` must be told.
    hparams : dict
        Where the architecture differs from what its name says.
    parts : list of str
        Which of 'pooler', 'decoder' and 'classifier' the weights have besides the encoder.
    source : str
        What it was imported from.
    tokenizer : TokenizerSettings
        What is done with text; by default what GluonNLP's tokenizer does for a vocabulary of that name.
    """

    backbone: str
    dataset_name: str
    weights_sha1: str
    vocab_sha1: str
    vocab_extension: str = ".vocab"
    special_tokens: Dict[str, str] = dataclasses.field(default_factory=dict)
    hparams: Dict[str, Any] = dataclasses.field(default_factory=dict)
    parts: List[str] = dataclasses.field(default_factory=list)
    source: str = ""
    tokenizer: TokenizerSettings = None  # type: ignore[assignment]  # set in __post_init__

    def __post_init__(self) -> None:
        _set_tokenizer(self, self.dataset_name)

    @property
    def key(self) -> str:
        return f"{self.backbone}_{self.dataset_name}"

    @property
    def weights_file(self) -> str:
        return f"{self.key}-{self.weights_sha1[:8]}.params"

    @property
    def vocab_file(self) -> str:
        return self.vocabulary.file

    @property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(
            self.dataset_name, self.vocab_sha1, self.vocab_extension, self.special_tokens, self.source, self.tokenizer
        )


def _set_tokenizer(entry: Union[Checkpoint, Vocabulary], name: str) -> None:
    """Use GluonNLP's tokenizer where an older store records none."""
    if entry.tokenizer is None:
        object.__setattr__(entry, "tokenizer", TokenizerSettings.gluonnlp(name.endswith("_uncased")))


@dataclasses.dataclass(frozen=True)
class Index:
    """What is in a store.

    Attributes
    ----------
    checkpoints : dict of str to Checkpoint
        By key.
    alone : dict of str to Vocabulary
        Vocabularies that were put there without weights, by name; there may be weights of that name by now.
    """

    checkpoints: Dict[str, Checkpoint] = dataclasses.field(default_factory=dict)
    alone: Dict[str, Vocabulary] = dataclasses.field(default_factory=dict)

    def vocabularies(self) -> Dict[str, Vocabulary]:
        """All vocabularies, with weights and without, a dict by name; a ValueError if two of one name differ."""
        found: Dict[str, Vocabulary] = {}
        of_checkpoints = (checkpoint.vocabulary for checkpoint in self.checkpoints.values())
        for vocabulary in itertools.chain(of_checkpoints, self.alone.values()):
            if not found.setdefault(vocabulary.name, vocabulary).is_same(vocabulary):
                raise ValueError
        return found

    def require_same(self, vocabulary: Vocabulary, root: Union[str, "os.PathLike[str]"]) -> None:
        """Raise a UsageError if the store has another vocabulary of that name."""
        checkpoints = (entry for entry in self.checkpoints.values() if entry.dataset_name == vocabulary.name)
        there = [(f"{entry.key} in {root}", entry.vocabulary) for entry in checkpoints]
        there += [(str(root), entry) for entry in (self.alone.get(vocabulary.name),) if entry]
        for where, other in there:
            differing = (("vocabulary", "sha1"), ("tokenizer", "tokenizer"))
            for what, field in differing:
                if getattr(other, field) != getattr(vocabulary, field):
                    raise UsageError(
                        f"{where} has another {what} under the name {vocabulary.name}: give another --name"
                    )

    def write(self, root: Union[str, "os.PathLike[str]"]) -> None:
        """Make this the index of a store."""
        content = {
            "checkpoints": list(map(dataclasses.asdict, self.checkpoints.values())),
            "vocabularies": list(map(dataclasses.asdict, self.alone.values())),
        }
        write_json(Path(root, INDEX), content)


def store_root(root: Optional[Union[str, "os.PathLike[str]"]] = None) -> Path:
    """The folder of the store, a Path: `root`, or ``$MXNET_HOME/models``."""
    # Not Path.expanduser, which raises for an unknown user.
    path = Path(get_home_dir(), "models") if root is None else Path(os.path.expanduser(root))
    if not is_utf8(path):
        raise CheckpointError(f"{path}: MXNet opens only files whose names are UTF-8")
    return path


def read_index(root: Optional[Union[str, "os.PathLike[str]"]] = None) -> Index:
    """The index of a store; an empty one where there is none.

    Returns
    -------
    Index

    Raises
    ------
    CheckpointError
        If the index file is damaged, or the folder's name is not valid UTF-8.
    """
    path = store_root(root) / INDEX
    with reading(path, CheckpointError, damaged=f"{path} is damaged: remove it and import the weights again"):
        try:
            content = read_json(path)
        except (FileNotFoundError, NotADirectoryError):
            return Index()
        checkpoints = [_checkpoint(entry) for entry in content["checkpoints"]]
        # Indexes of older stores lack this key.
        alone = [_vocabulary(entry) for entry in content.get("vocabularies", [])]
        index = Index({entry.key: entry for entry in checkpoints}, {entry.name: entry for entry in alone})
        index.vocabularies()
        return index


def _checkpoint(entry: Dict[str, Any]) -> Checkpoint:
    """A Checkpoint from the index; TypeError or ValueError if it is damaged."""
    checkpoint = Checkpoint(**_with_tokenizer(entry))
    require_sound(checkpoint)
    return checkpoint


def _vocabulary(entry: Dict[str, Any]) -> Vocabulary:
    """A Vocabulary from the index; TypeError or ValueError if it is damaged."""
    vocabulary = Vocabulary(**_with_tokenizer(entry))
    require_sound(vocabulary)
    return vocabulary


def _with_tokenizer(entry: Dict[str, Any]) -> Dict[str, Any]:
    """An entry of the index with its tokenizer as an object."""
    has_one = entry.get("tokenizer") is not None
    return {**entry, "tokenizer": TokenizerSettings.from_json(entry["tokenizer"])} if has_one else entry


def require_sound(entry: Union[Checkpoint, Vocabulary]) -> None:
    """Raise a TypeError or ValueError if an entry, read or about to be written, is invalid.

    Parameters
    ----------
    entry : Checkpoint or Vocabulary
    """
    sample = Checkpoint("", "", "", "") if isinstance(entry, Checkpoint) else Vocabulary("", "")
    for name, value in vars(entry).items():
        if not isinstance(value, type(getattr(sample, name))):
            raise TypeError(f"{name} is {value!r}")
    vocabulary = entry.vocabulary if isinstance(entry, Checkpoint) else entry
    TokenizerSettings.from_json(dataclasses.asdict(vocabulary.tokenizer))
    problems = {
        "name": not NAME.fullmatch(vocabulary.name),  # part of the names of files
        "sha1 of the vocabulary": not _SHA1.fullmatch(vocabulary.sha1),
        "extension": vocabulary.extension not in (".vocab", ".spiece"),
        "special tokens": vocabulary.special_tokens not in ({}, {"padding_token": "[PAD]"}),
        "case": vocabulary.tokenizer.lower != vocabulary.name.endswith("_uncased"),
    }
    if isinstance(entry, Checkpoint):
        problems["architecture"] = not _BACKBONE.fullmatch(entry.backbone)
        problems["sha1 of the weights"] = not _SHA1.fullmatch(entry.weights_sha1)
        if has_family(entry.backbone):  # else its family is one that another program has
            family = family_of(entry.backbone)
            hparams = {**family.hparams(entry.backbone), **entry.hparams}
            problems["hyper-parameters"] = not family.are_hparams(entry.backbone, hparams)
            problems["parts"] = not set(entry.parts) <= set(family.parts)
    for what, is_one in problems.items():
        if is_one:
            raise ValueError(f"invalid {what}")
