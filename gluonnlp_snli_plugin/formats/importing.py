"""Imports a pretrained BERT, in Hugging Face's layout or in GluonNLP's, or a fine-tuned classifier."""

import logging
from pathlib import Path
from typing import Optional, Sequence

from .. import store
from ..system.files import new_folder, write_json
from ..text.byte_pairs import missing_package
from ..text.tokenizer_settings import TokenizerSettings
from .format import PathLike, format_of
from .huggingface.classifier import read_classifier
from .model_folder import Model, save_model

_log = logging.getLogger("gluonnlp_snli_plugin")

IMPORT_MARK = "import.json"  # in the output folder of a classifier that was imported


def import_bert(
    source: PathLike,
    name: str,
    root: Optional[str] = None,
    overwrite: bool = False,
    vocab: Optional[PathLike] = None,
    backbone: Optional[str] = None,
) -> store.Checkpoint:
    """Import a BERT checkpoint into the local model store.

    Parameters
    ----------
    source : str or Path
        Folder with ``config.json``, ``vocab.txt`` (or ``tokenizer.json``, or a SentencePiece model) and
        ``model.safetensors``, or the parts of it; or a name on the Hugging Face hub such as 'bert-base-uncased',
        fetched if ``huggingface_hub`` is installed; or a ``.params`` file that GluonNLP wrote, as
        ``run_pretraining.py`` does.
    name : str
        Its name in the store, ending in ``_cased`` or ``_uncased``.
    root : str or None
        Folder of the store, default ``$MXNET_HOME/models``.
    overwrite : bool, default False
        Whether another checkpoint under the same name may be replaced.
    vocab : str, Path or None
        Vocabulary of a ``.params`` file: ``.vocab`` or ``.json`` as ``BERTVocab.to_json`` writes it, ``vocab.txt``,
        ``tokenizer.json``, a SentencePiece ``.model`` or ``.spiece``; or the name of one in the store.
    backbone : str or None
        Architecture of a ``.params`` file, which does not say the number of attention heads: ``bert_L_H_A``.

    Returns
    -------
    Checkpoint

    Raises
    ------
    UsageError
        If the name cannot be used, or `vocab` and `backbone` are missing or do not fit.
    CheckpointError
        If the checkpoint is not a BERT, is incomplete or contradicts itself; names the file.
    """
    store.require_name(name)
    bert = format_of(source, default="huggingface").read_bert(source, name, vocab, backbone, root)
    checkpoint = store.keep(bert, name, str(source), root, overwrite)
    _tell_missing_package(bert.tokenizer)
    return checkpoint


def import_classifier(
    source: PathLike, output_dir: PathLike, labels: Optional[Sequence[str]] = None, overwrite: bool = False
) -> Model:
    """Make a fine-tuned classifier of Hugging Face's a model folder, as ``finetune`` writes it.

    Parameters
    ----------
    source : str or Path
        Folder with ``config.json``, a vocabulary and ``model.safetensors`` of a ``BertForSequenceClassification``; or
        a name on the Hugging Face hub.
    output_dir : str or Path
        Folder to write ``model/`` into, whole or not at all.
    labels : sequence of str or None
        The labels in the order of its logits, any two or more, where its ``id2label`` does not name the three of
        natural language inference.
    overwrite : bool, default False
        Whether to replace a folder that this function wrote.

    Returns
    -------
    Model

    Raises
    ------
    UsageError
        If the labels are needed or do not fit, or something is at `output_dir` already.
    CheckpointError
        If it is not such a classifier, is incomplete or contradicts itself, or the folder cannot be written.
    """
    with store.writing(Path(output_dir).parent), new_folder(output_dir, IMPORT_MARK, overwrite) as folder:
        model = read_classifier(source, labels)
        save_model(model, folder / "model")
        write_json(folder / IMPORT_MARK, {"imported_from": str(source)})
    _tell_missing_package(model.settings.tokenizer)
    return model


def _tell_missing_package(tokenizer: TokenizerSettings) -> None:
    """Log what the tokenizer needs that is not installed: importing does not, all that reads text does."""
    missing = missing_package() if tokenizer.algorithm == "byte_pairs" else None
    if missing:
        _log.warning("%s", missing)
