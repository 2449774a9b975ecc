"""Reads the parameter files that GluonNLP writes: ``nlp.utils.save_parameters`` of a backbone, or of a classifier.

Such a file holds names and numbers and nothing else. Sizes follow from the shapes; the number of attention heads and
the vocabulary must be given.
"""

import os
import re
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import mxnet as mx
import numpy as np
from gluonnlp.vocab import Vocab

from ... import store
from ...errors import CheckpointError, UsageError
from ...model.family import Family, families, family_of, hparams_of, require_special_tokens
from ...store.pretrained import PretrainedBert, add_missing_pooler
from ...system.params_layout import read_layout
from ...system.reading import read_bytes
from ...text.byte_pairs import BytePairVocab
from ...text.tokenizer_settings import TokenizerSettings
from ...text.vocabulary import is_sentencepiece, read_vocabulary
from ..format import PathLike
from ..huggingface.tokenizer import establish, has_tokenizer

Parameters = Dict[str, mx.nd.NDArray]

_CELL = re.compile(r"encoder\.transformer_cells\.(\d{1,4})\.")
_WORDS, _SEGMENTS, _POSITIONS = "word_embed.0.weight", "token_type_embed.0.weight", "encoder.position_weight"
_FFN = "encoder.transformer_cells.0.ffn.ffn_1.weight"


def read_bert(
    path: PathLike,
    name: str,
    vocab: Optional[PathLike],
    backbone: Optional[str],
    root: Optional[str] = None,
) -> PretrainedBert:
    """Read a backbone that GluonNLP saved, alone or in a classifier, whose head is left out.

    Parameters
    ----------
    path : str or Path
    name : str
        Name it is to have in the store.
    vocab : str, Path or None
        File of the vocabulary, or the name of one in the store.
    backbone : str or None
        Architecture, such as ``bert_L_H_A``.
    root : str or None
        Folder of the store.

    Returns
    -------
    PretrainedBert

    Raises
    ------
    UsageError
        If `vocab` or `backbone` is missing or does not fit.
    CheckpointError
        If the file does not hold a backbone, is incomplete or contradicts itself.
    """
    parameters, _ = split(read_parameters(path))
    hparams, vocab_size = sizes(path, parameters)
    backbone = check_backbone(path, hparams, backbone)
    family = family_of(backbone)
    if vocab is None:
        raise UsageError(
            f"--vocab is missing: {path} does not say which {vocab_size} tokens it is for; give a file, or a name in "
            f"the store ({store.inventory(root)})"
        )
    file = store.find_vocabulary(vocab, root)
    if not os.path.isfile(vocab):  # it is a name
        if str(vocab).endswith("_uncased") != name.endswith("_uncased"):
            raise UsageError(f"--vocab {vocab} and --name {name} disagree about the case")
        hparams = with_settings(hparams, backbone, str(vocab), root)
    tokens, special_tokens = read_vocabulary(file)
    require_special_tokens(backbone, tokens)
    if len(tokens) != vocab_size:
        raise CheckpointError(f"{file} has {len(tokens)} tokens, {path} is for {vocab_size}")
    parts = check_bert(path, family, parameters, hparams, vocab_size)
    if family.has_pooler:
        add_missing_pooler(parameters, parts, hparams["units"], path)
    is_spiece = is_sentencepiece(file)
    return PretrainedBert(
        backbone=backbone,
        hparams={**family.hparams(backbone), **hparams},
        parameters=parameters,
        parts=parts,
        vocab_content=read_bytes(file) if is_spiece else tokens.to_json().encode(),
        vocab_extension=".spiece" if is_spiece else ".vocab",
        special_tokens=special_tokens,
        tokenizer=_tokenizer(vocab, tokens, name.endswith("_uncased"), root),
    )


def _tokenizer(source: PathLike, vocab: Vocab, uncased: bool, root: Optional[str]) -> TokenizerSettings:
    """That of the vocabulary, where something says what it does; else the one with which GluonNLP's scripts use it."""
    is_file, folder = os.path.isfile(source), Path(source).parent
    known = None if is_file else store.vocabularies(root).get(str(source))
    if known:
        return known.tokenizer
    if isinstance(vocab, BytePairVocab):
        if uncased:
            raise UsageError(f"--vocab {source}: byte-level BPE does not lower-case text: --name must end in _cased")
        found = establish(folder) if is_file and has_tokenizer(folder) else None
        is_its = found is not None and found.vocab.to_json() == vocab.to_json()
        return found.settings if found and is_its else TokenizerSettings.of(vocab, lower=False)
    if is_file and not is_sentencepiece(source) and Path(source).suffix != ".vocab" and has_tokenizer(folder):
        return establish(folder, uncased=uncased).settings
    return TokenizerSettings.gluonnlp(uncased)


def read_parameters(path: PathLike) -> Parameters:
    """The arrays in a parameter file as float32, a dict by name.

    Raises
    ------
    CheckpointError
        If the file is missing, is not one of MXNet's, is damaged or holds numbers that are not finite.
    """
    for name, (_, dtype) in read_layout(path).items():
        if dtype not in ("float16", "float32", "float64"):
            raise CheckpointError(f"{path}: {name} is not a dense array of floating-point numbers")
    try:
        arrays = mx.nd.load(str(path))
    except mx.MXNetError as error:
        raise CheckpointError(f"{path} is damaged ({str(error).strip().splitlines()[-1]})") from None
    parameters = {}
    for name, array in arrays.items() if isinstance(arrays, dict) else ():  # a list: no arrays at all
        with np.errstate(over="ignore"):  # raised below
            numbers = array.asnumpy().astype(np.float32)
        if not np.isfinite(numbers).all():
            raise CheckpointError(f"{path}: {name} holds numbers that are not finite")
        parameters[name] = mx.nd.array(numbers, dtype=np.float32)
    return parameters


def split(parameters: Parameters) -> Tuple[Parameters, Parameters]:
    """Parameters of the backbone, by its own names, and the others: those of a classifier's head."""
    prefixes = [f"{family.host_classifier.backbone}." for family in families() if family.host_classifier]
    prefix = next((prefix for prefix in prefixes if any(name.startswith(prefix) for name in parameters)), None)
    if prefix is None:
        return parameters, {}
    bert = {name[len(prefix) :]: array for name, array in parameters.items() if name.startswith(prefix)}
    return bert, {name: array for name, array in parameters.items() if not name.startswith(prefix)}


def sizes(path: PathLike, parameters: Parameters) -> Tuple[Dict[str, Any], int]:
    """What shapes tell of a backbone: its hyper-parameters but the number of heads, and the size of its vocabulary.

    Raises
    ------
    CheckpointError
        If it does not hold one.
    """
    for name in (_WORDS, _POSITIONS, _FFN, *([_SEGMENTS] if _SEGMENTS in parameters else [])):
        if name not in parameters:
            raise CheckpointError(f"{path} has no parameter {name}: it is not a BERT as GluonNLP saves it")
        if parameters[name].ndim != 2:
            raise CheckpointError(f"{path}: {name} is of shape {parameters[name].shape}, not a matrix")
    vocab_size, units = parameters[_WORDS].shape
    cells = [int(match.group(1)) for match in map(_CELL.match, parameters) if match]
    hparams = {
        "num_layers": 1 + max(cells),
        "units": units,
        "embed_size": units,
        "hidden_size": parameters[_FFN].shape[0],
        "max_length": parameters[_POSITIONS].shape[0],
    }
    if _SEGMENTS in parameters:
        hparams["token_type_vocab_size"] = parameters[_SEGMENTS].shape[0]
        if hparams["token_type_vocab_size"] < 2:
            raise CheckpointError(f"{path} has embeddings for one segment; premise and hypothesis take 2")
    return hparams, vocab_size


def check_backbone(path: PathLike, hparams: Dict[str, Any], backbone: Optional[str]) -> str:
    """Make sure that the architecture's name agrees with the sizes that were found; returns the name.

    Raises
    ------
    UsageError
        If it does not, or is missing.
    """
    has_segments = "token_type_vocab_size" in hparams
    names = dict.fromkeys(family.name for family in families() if family.layout.has_segments == has_segments)
    found = " or ".join(f"{name}_{hparams['num_layers']}_{hparams['units']}_?" for name in names)
    if backbone is None:
        raise UsageError(f"--backbone is missing: {path} does not say the number of heads; which {found}")
    named = hparams_of(backbone)
    is_same = all(named[size] == hparams[size] for size in ("num_layers", "units"))
    if not is_same or family_of(backbone).layout.has_segments != has_segments:
        raise UsageError(f"{path} holds a {found}, not a {backbone}: give its --backbone")
    return backbone


def with_settings(
    hparams: Dict[str, Any], backbone: str, dataset_name: str, root: Optional[str] = None
) -> Dict[str, Any]:
    """Add to `hparams` what the checkpoint of the store knows and no shape shows, such as its activation."""
    checkpoint = store.checkpoints(root).get(f"{backbone}_{dataset_name}")
    return {**(checkpoint.hparams if checkpoint else {}), **hparams}


def check_bert(
    path: PathLike, family: Family, parameters: Parameters, hparams: Dict[str, Any], vocab_size: int
) -> List[str]:
    """Make sure that a backbone's parameters are all there, of the right shapes, and no others.

    The decoder's output layer is the word embedding itself and is taken out of `parameters`.

    Returns
    -------
    list of str
        Which of the family's parts there are.

    Raises
    ------
    CheckpointError
    """
    output = parameters.pop("decoder.3.weight", None)
    if output is not None and not np.array_equal(output.asnumpy(), parameters[_WORDS].asnumpy()):
        raise CheckpointError(f"{path}: decoder.3.weight is not {_WORDS}, as it is in a BERT of GluonNLP")
    first = {name.split(".")[0] for name in parameters}
    first |= {"pooler"} if "classifier" in first else set()  # one works on the other's output
    parts: List[str] = [part for part in family.parts if part in first]
    shapes = {name: shape for name, (_, shape) in family.parameters(hparams, vocab_size, parts).items()}
    for name, shape in shapes.items():
        if name not in parameters:
            raise CheckpointError(f"{path} has no parameter {name}: it is not a complete BERT")
        if parameters[name].shape != shape:
            raise CheckpointError(
                f"{path}: {name} is of shape {parameters[name].shape}, the other parameters say {shape}"
            )
    for name in parameters:
        if name not in shapes:
            raise CheckpointError(f"{path}: {name} is not a parameter of GluonNLP's {family.name}")
    return parts
