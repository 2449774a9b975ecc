"""Natural language inference with BERT in GluonNLP.

``import gluonnlp_snli_plugin`` registers the SNLI data and task, pair truncation, a BERT classification head and more
BERT backbones in GluonNLP's own registries; :func:`deactivate` takes them out again.

The names to import are those of :mod:`.api`; docs/api.md describes them.
"""

import os
import sys
from typing import TYPE_CHECKING

from .version import __version__ as __version__


def _load() -> None:
    """Import MXNet and GluonNLP, activate the plugin and bind the public names."""
    from . import api

    globals().update({name: getattr(api, name) for name in api.__all__}, __all__=["__version__", *api.__all__])


def _is_command() -> bool:
    """Whether this process is the command ``gluonnlp-snli``.

    The command calls :func:`_load` when it has read its arguments, because importing MXNet takes seconds: ``--help``,
    ``--version`` and usage errors need nothing of it.
    """
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    return os.path.basename(file or "") == "gluonnlp-snli"


if TYPE_CHECKING:
    from .api import *  # noqa: F403
elif not _is_command():
    _load()
