"""The file formats of fine-tuned models: each is one module or folder here that reads and writes it.

Every module and folder beside this file is imported, so a new format is one new file that registers a class
(:class:`.format.Format`).
"""

import importlib
import pkgutil

from .exporting import Exported, export
from .format import format_names

__all__ = ["Exported", "export", "format_names"]

for _module in pkgutil.iter_modules(__path__, f"{__name__}."):
    importlib.import_module(_module.name)
