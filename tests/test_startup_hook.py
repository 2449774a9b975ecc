"""``gluonnlp_snli_plugin.pth``: GluonNLP imports on today's NumPy, whichever of it and the plugin comes first."""

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy
import pytest

PROJECT = Path(__file__).parent.parent
HOOK = PROJECT / "gluonnlp_snli_plugin.pth"
MODULE = "_gluonnlp_snli_plugin_compat"
NAMES = ["PZERO", "in1d", "float_", "product", "int"]  # some that NumPy removed, each in another release


def run(*arguments):
    """Run the interpreter of these tests and return what it prints; anything on stderr fails the test."""
    result = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.strip()


@pytest.fixture
def site_folder(tmp_path):
    """A folder like site-packages with the hook and the package's compat.py in it."""
    shutil.copy(HOOK, tmp_path)
    package = tmp_path / "gluonnlp_snli_plugin"
    package.mkdir()
    shutil.copy(Path(importlib.util.find_spec("gluonnlp_snli_plugin").origin).with_name("compat.py"), package)
    (package / "__init__.py").write_text("raise AssertionError('the hook imports the package')\n")
    return tmp_path


def start_with(folder, statement):
    """Run `statement` in an interpreter that has `folder` for site-packages, and nothing else."""
    start = f"import os, site, sys; before = set(sys.modules); site.addsitedir({os.fspath(folder)!r})"
    return run("-I", "-S", "-c", f"{start}; {statement}")


@pytest.fixture
def installed():
    """The files that pip installed, and removes again; a checkout has metadata too, which is of no use here."""
    places = [place for place in sys.path if place.endswith("-packages")]
    for distribution in importlib.metadata.distributions(name="gluonnlp-snli-plugin", path=places):
        return distribution.files
    pytest.skip("the project is not installed for this interpreter")


def test_installing_and_uninstalling_know_the_hook(installed):
    assert [file.read_text() for file in installed if file.name == HOOK.name] == [HOOK.read_text()]


ORDERS = {
    "NumPy first": "numpy, mxnet, gluonnlp",
    "MXNet first": "mxnet, numpy",
    "GluonNLP, after MXNet has failed": "sys; sys.modules['requests'] = None\ntry: import mxnet\nexcept ImportError: "
    "del sys.modules['requests']\nimport gluonnlp, numpy",
}


@pytest.mark.parametrize("order", ORDERS)
def test_mxnet_and_numpy_work_in_any_order_without_the_plugin(order):
    """And NumPy has only the names that it has in this process, too; tests/test_numpy.py says which these are."""
    program = f"""
exec(open({os.fspath(HOOK)!r}).read())
import {ORDERS[order]}
import mxnet, numpy, sys
print(mxnet.nd.zeros((numpy.int64(2), 3)).shape, mxnet.np.PZERO, "gluonnlp_snli_plugin" in sys.modules)
print(*(name in vars(numpy) for name in {NAMES!r}), vars(numpy).get("bool"))
"""
    here = (*(name in vars(numpy) for name in NAMES), vars(numpy).get("bool"))
    assert run("-W", "ignore", "-c", program).splitlines() == ["(2, 3) 0.0 False", " ".join(map(str, here))]


def test_gluonnlp_imports_before_the_plugin_does(installed):
    assert run("-c", "import sys, gluonnlp; print('gluonnlp_snli_plugin' in sys.modules)") == "False"


def test_the_hook_imports_nothing_but_itself(site_folder):
    sites_own = {"_bootlocale", "_locale", "encodings.utf_8_sig"}  # reading a .pth, on one Python or another
    assert start_with(site_folder, f"print(*set(sys.modules) - before - {sites_own})") == MODULE


def test_the_hook_acts_once_though_a_virtual_environment_runs_it_twice(site_folder):
    count = f"print(sum(type(finder).__module__ == {MODULE!r} for finder in sys.meta_path))"
    assert start_with(site_folder, f"site.addsitedir({os.fspath(site_folder)!r}); {count}") == "1"


@pytest.mark.parametrize("left", ["an empty package", "an empty folder", "nothing"])
def test_the_hook_is_silent_where_the_package_is_gone(site_folder, left):
    package = site_folder / "gluonnlp_snli_plugin"
    (package / "compat.py").unlink()
    if left != "an empty package":
        (package / "__init__.py").unlink()
    if left == "nothing":
        package.rmdir()
    assert start_with(site_folder, f"print({MODULE!r} in sys.modules)") == "False"
