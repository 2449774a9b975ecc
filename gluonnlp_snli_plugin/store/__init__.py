"""The local model store: BERT weights and vocabularies under GluonNLP's own file names, in ``$MXNET_HOME/models``.

GluonNLP's download host no longer answers (dmlc/gluon-cv #1778), so weights are imported (``import-bert``) and
vocabularies trained (``train-vocab``) instead. An index file beside them holds what GluonNLP's tables must know; every
process that imports the plugin enters it there.
"""

from .index import INDEX, NAME, Checkpoint, Vocabulary, store_root
from .lookup import (
    check_files,
    checkpoints,
    find_vocabulary,
    inventory,
    only_backbone,
    require,
    spiece,
    tokenizer,
    tokenizer_of,
    vocabularies,
    vocabulary,
)
from .pretrained import PretrainedBert
from .registration import register
from .writing import add, add_vocabulary, keep, require_free, require_free_vocabulary, require_name, writing

__all__ = [
    "INDEX",
    "NAME",
    "Checkpoint",
    "PretrainedBert",
    "Vocabulary",
    "add",
    "add_vocabulary",
    "check_files",
    "checkpoints",
    "find_vocabulary",
    "inventory",
    "keep",
    "only_backbone",
    "register",
    "require",
    "require_free",
    "require_free_vocabulary",
    "require_name",
    "spiece",
    "store_root",
    "tokenizer",
    "tokenizer_of",
    "vocabularies",
    "vocabulary",
    "writing",
]
