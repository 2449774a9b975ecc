"""Installs ``gluonnlp_snli_plugin.pth`` beside the package; everything else about the project is in setup.cfg.

setup.cfg has no way to say it: data files would do for a wheel, but setuptools leaves them out of an editable install.
"""

from setuptools import setup
from setuptools.command.build_py import build_py

STARTUP_HOOK = "gluonnlp_snli_plugin.pth"


class BuildWithStartupHook(build_py):
    def run(self):
        super().run()
        # An editable install ignores the build folder and zips the folder that `install` would fill.
        target = self.get_finalized_command("install").install_lib if self.editable_mode else self.build_lib
        self.copy_file(STARTUP_HOOK, target)

    def get_source_files(self):
        return [*super().get_source_files(), STARTUP_HOOK]


setup(cmdclass={"build_py": BuildWithStartupHook})
