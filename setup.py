"""Installs ``gluonnlp_snli_plugin.pth`` beside the package, and refuses to build a package that lacks a data file.

Everything else about the project is in setup.cfg, which can say neither: data files would do for the ``.pth`` in a
wheel, but setuptools leaves them out of an editable install.
"""

import shutil
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

STARTUP_HOOK = "gluonnlp_snli_plugin.pth"

# What the package cannot do without beside its modules, by folder; a test keeps the list complete.
DATA_FILES = {
    ".": "py.typed",
    "text": "bert_characters.json",
    "evaluate": "explanation.css",
    "native/src": "add_rows.cc amx.h attention.cc attention.h classifier.cc dense.cc dense_int8.cc dense_packed.cc"
    " dropout.cc gelu.cc group_sums.h inference.h layer_norm.cc layer_norm.h library.cc operator.h optimizer.cc simd.h",
    "report/templates": "base.html comparison.html macros.html page.css run.html",
    "tasks": "sample.json.gz",
    "serve": "page.css page.html page.js",
}


def data_files(package):
    """The paths of all of DATA_FILES in `package`, a folder; ends the build where one is missing."""
    paths = [Path(package, folder, name) for folder, names in DATA_FILES.items() for name in names.split()]
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        sys.exit(f"setup.py: error: the package would be incomplete without {', '.join(missing)}")
    return paths


class BuildWholePackage(build_py):
    def run(self):
        data_files("gluonnlp_snli_plugin")
        if not self.editable_mode:
            shutil.rmtree(self.build_lib, ignore_errors=True)  # may hold files that the package no longer has
        super().run()
        if not self.editable_mode:
            data_files(Path(self.build_lib, "gluonnlp_snli_plugin"))
        # An editable install ignores the build folder and zips the folder that `install` would fill.
        target = self.get_finalized_command("install").install_lib if self.editable_mode else self.build_lib
        self.copy_file(STARTUP_HOOK, target)

    def get_source_files(self):
        return [*super().get_source_files(), STARTUP_HOOK]


if __name__ == "__main__":
    setup(cmdclass={"build_py": BuildWholePackage})
