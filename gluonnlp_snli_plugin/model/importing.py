"""Brings in a pretrained BERT, in Hugging Face's layout or in GluonNLP's, or a classifier fine-tuned already."""

import contextlib
import hashlib
import os
from pathlib import Path

import mxnet as mx

from .. import registry
from ..errors import CheckpointError, UsageError
from ..files import digest, new_folder, write_json
from ..temporary import temporary_folder
from . import store
from .backbones import bert_hparams
from .folder import save_model
from .huggingface import read_huggingface
from .huggingface_classifier import read_classifier
from .params_file import read_bert
from .store_index import read_index

IMPORT_MARK = "import.json"  # in the output folder of a classifier that was imported


def import_bert(source, name, root=None, overwrite=False, vocab=None, backbone=None):
    """Bring a BERT checkpoint into the local model store.

    Parameters
    ----------
    source : str or Path
        Folder with ``config.json``, ``vocab.txt`` (or ``tokenizer.json``, or a SentencePiece model) and
        ``model.safetensors``, or the parts of it; or a name on the Hugging Face hub such as 'bert-base-uncased',
        fetched if ``huggingface_hub`` is installed; or a ``.params`` file that GluonNLP wrote, as
        ``run_pretraining.py`` does.
    name : str
        Name to give it, ending in ``_cased`` or ``_uncased``.
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
    require_name(name)
    if Path(source).suffix == ".params" and not os.path.isdir(source):
        bert = read_bert(source, name, vocab, backbone, root)
    else:
        for option, value in (("vocab", vocab), ("backbone", backbone)):
            if value is not None:
                raise UsageError(f"--{option} goes with a .params file; a folder in Hugging Face's layout has its own")
        bert = read_huggingface(source, name)
    return keep(bert, name, str(source), root, overwrite)


def require_name(name):
    """Complain about a name that weights or a vocabulary cannot have.

    Raises
    ------
    UsageError
    """
    if not store.NAME.fullmatch(name):
        raise UsageError(f"--name {name!r} must end in _cased or _uncased and hold only letters, digits, '.', '_', '-'")
    if registry.is_host_vocabulary(name):
        raise UsageError(f"{name} is a name of GluonNLP's own: give another --name")


def require_free(backbone, name, vocab_content, tokenizer, overwrite=False):
    """Complain now about what :func:`keep` would complain about after days of training.

    That is a name that weights of this architecture have, or under which there is another vocabulary or tokenizer.

    Raises
    ------
    UsageError
    """
    require_name(name)
    index = read_index()
    if index.checkpoints.pop(f"{backbone}_{name}", None) and not overwrite:
        raise UsageError(f"{backbone}_{name} is already in {store.store_root()}: give another --name, or --overwrite")
    sha1 = hashlib.sha1(vocab_content).hexdigest()
    index.require_same(store.Vocabulary(name, sha1, tokenizer=tokenizer), store.store_root())


def keep(bert, name, source, root=None, overwrite=False):
    """Put a BERT into the local model store.

    Parameters
    ----------
    bert : ImportedBert
    name : str
        A sound one.
    source : str
        Where it came from, to be told where its files get lost.
    root, overwrite
        As :func:`import_bert` takes them.

    Returns
    -------
    Checkpoint

    Raises
    ------
    UsageError
        If the name is taken.
    CheckpointError
        If the store cannot be written.
    """
    root = store.store_root(root)
    with writing(root), temporary_folder(root) as workspace:
        vocab_file, weights_file = workspace / "vocab", workspace / "weights"
        vocab_file.write_bytes(bert.vocab_content)
        mx.nd.save(str(weights_file), bert.parameters)
        named = bert_hparams(bert.backbone)
        checkpoint = store.Checkpoint(
            backbone=bert.backbone,
            dataset_name=name,
            weights_sha1=digest(weights_file, "sha1"),
            vocab_sha1=digest(vocab_file, "sha1"),
            vocab_extension=bert.vocab_extension,
            special_tokens=bert.special_tokens,
            hparams={key: value for key, value in bert.hparams.items() if named.get(key) != value},
            parts=bert.parts,
            source=source,
            tokenizer=bert.tokenizer,
        )
        store.add(checkpoint, weights_file, vocab_file, root, overwrite)
    return checkpoint


def import_classifier(source, output_dir, labels=None, overwrite=False):
    """Make a fine-tuned classifier of Hugging Face's a model folder, as ``finetune`` writes it.

    Parameters
    ----------
    source : str or Path
        Folder with ``config.json``, a vocabulary and ``model.safetensors`` of a ``BertForSequenceClassification`` with
        three labels; or a name on the Hugging Face hub.
    output_dir : str or Path
        Folder to write ``model/`` into, whole or not at all.
    labels : sequence of str or None
        The three labels in the order of its logits, where its ``id2label`` does not name them.
    overwrite : bool, default False
        Whether to replace a folder that this function wrote.

    Returns
    -------
    Model

    Raises
    ------
    UsageError
        If the labels are not to be told, or something is at `output_dir` already.
    CheckpointError
        If it is not such a classifier, is incomplete or contradicts itself, or the folder cannot be written.
    """
    with writing(Path(output_dir).parent), new_folder(output_dir, IMPORT_MARK, overwrite) as folder:
        model = read_classifier(source, labels)
        save_model(model, folder / "model")
        write_json(folder / IMPORT_MARK, {"imported_from": str(source)})
    return model


@contextlib.contextmanager
def writing(root):
    """Make a folder, and turn what goes wrong in writing there into one line."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise CheckpointError(f"cannot write to {error.filename or root}: {error.strerror}") from None
    except mx.MXNetError as error:
        raise CheckpointError(f"cannot write to {root}: {str(error).strip().splitlines()[-1]}") from None
