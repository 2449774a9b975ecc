"""What every test module may use. GluonNLP reads MXNET_HOME when it is imported, so that is set here first."""

import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from corpus_fixtures import glue_folder, hans_folder, multilingual_texts, pairs_file  # noqa: F401
from hypothesis import settings
from model_fixtures import (  # noqa: F401
    bert_inputs,
    make_bert,
    minilm_name,
    tiny_bert,
    tiny_name,
    tiny_run,
    train_sentencepiece,
    widest,
)

# No test has a time limit: machines are slow, and shared.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

_HOME = tempfile.TemporaryDirectory(prefix="mxnet-home-")
os.environ["MXNET_HOME"] = _HOME.name

# Threads of OpenMP that wait sleep, here and in all processes that tests start. By default they spin, to be quick with
# the next piece of work, and nets of a few numbers have so little that spinning is most of what the cores would do.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# Devices for JAX, which fixes their number when it is first used; programs compiled soon, and kept in one folder, which
# the workers of pytest-xdist share. .ci/run shares it among all of its parts.
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4 --xla_backend_optimization_level=0"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", os.path.join(_HOME.name, "xla"))

# In the background of a shell SIGINT is ignored, and so it would be by every process that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# pytest's finder takes whatever is named test_*, mxnet.test_utils too. The plugin's comes first: it leaves SciPy out.
sys.meta_path.sort(key=lambda finder: not hasattr(finder, "repairs_mxnet"))

REPOSITORY = Path(__file__).parent.parent
SHARED_DATA = REPOSITORY.parent / "shared" / "data"

REFERENCE_ENV = Path(os.environ.get("REFERENCE_ENV", REPOSITORY / ".venv-reference"))

# What some tests need that an environment of this project does not bring, by their marker: whether it is there, and how
# to get it. Skipped from one place, so that a summary has one line for each.
NEEDS = {
    "horovod": (lambda: importlib.util.find_spec("horovod"), "Horovod is not installed: make horovod"),
    "jax": (lambda: importlib.util.find_spec("jax"), "JAX is not installed: pip install jax"),
    "reference": (
        (REFERENCE_ENV / "requirements.txt").exists,
        f"{REFERENCE_ENV}, with torch and transformers, is missing: make reference",
    ),
    "transformers": (lambda: importlib.util.find_spec("transformers"), "transformers is not installed: pip install it"),
    "long": (lambda: os.environ.get("LONG_TESTS"), "it takes long, and others like it do not: make test-long"),
    "whole_benchmarks": (lambda: os.environ.get("WHOLE_BENCHMARKS"), "it takes minutes: make test-benchmarks"),
    "gluonnlp_scripts": (
        lambda: os.environ.get("GLUONNLP_SCRIPTS"),
        "GLUONNLP_SCRIPTS does not name a checkout of dmlc/gluon-nlp at tag v0.10.0",
    ),
}


@pytest.hookimpl(hookwrapper=True)
def pytest_report_to_serializable():
    """Reports of tests at once (pytest-xdist) are sent in UTF-8, and what hostile names leave in a log may be none."""
    outcome = yield
    outcome.force_result(_encodable(outcome.get_result()))


def _encodable(value):
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_encodable, value))
    return value


def pytest_collection_modifyitems(items):
    """Whole runs first: they take longest, and at the end one worker would wait for the other."""
    items.sort(key=lambda item: "integration" not in item.path.parts and not item.get_closest_marker("slow"))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    for name, (is_there, reason) in NEEDS.items():
        if item.get_closest_marker(name) and not is_there():
            pytest.skip(reason)


@pytest.fixture(scope="session")
def reference_python():
    """The Python of the environment with torch and transformers; for tests marked `reference`."""
    return REFERENCE_ENV / "bin" / "python"


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real SNLI pairs that lies beside the repository."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real SNLI pairs: {SHARED_DATA} is missing")
    return SHARED_DATA


@pytest.fixture(scope="session")
def without_mxnet():
    """The first line of a program that imports modules of the package without MXNet, as the command does for --help."""
    return "import __main__; __main__.__file__ = 'gluonnlp-snli'\n"


@pytest.fixture(scope="session")
def repair_mxnet():
    """The first lines of a program without the plugin: on today's NumPy, MXNet needs its repairs nonetheless."""
    package = importlib.util.find_spec("gluonnlp_snli_plugin").submodule_search_locations[0]
    compat = os.path.join(package, "compat.py")
    return f"""
import warnings
warnings.simplefilter("ignore")
repairs = {{"__name__": "repairs"}}
exec(open({compat!r}).read(), repairs)
repairs["repair_numpy_when_mxnet_is_imported"]()
"""


@pytest.fixture
def port():
    """A port that no other process gets while the test runs; one that is told it can listen there."""
    from gluonnlp_snli_plugin.parallel.connection import hold_port

    with hold_port() as held:
        yield held.getsockname()[1]


@pytest.fixture
def empty_figures(monkeypatch):
    """Pages of runs that this process makes have empty figures: to draw them takes most of a tiny run's time."""
    from markupsafe import Markup

    from gluonnlp_snli_plugin.report import svg

    monkeypatch.setattr(svg, "plot", lambda name, description, draw: Markup("<svg></svg>"))


@pytest.fixture
def gpus():
    """Lets ``mx.gpu(i)`` compute through XLA, on devices of the CPU, within a ``with`` block."""
    import contextlib

    import mxnet as mx

    from gluonnlp_snli_plugin import registry

    @contextlib.contextmanager
    def use(number=1):
        from gluonnlp_snli_plugin.host.gpus import ScriptOnGPUs
        from gluonnlp_snli_plugin.xla import setup

        contexts, changes = [mx.cpu(i) for i in range(number)], registry.Changes()
        setup.configure(contexts)
        try:
            yield ScriptOnGPUs(contexts, changes)
        finally:
            changes.undo()

    return use


@pytest.fixture(scope="session")
def native_operators():
    """For tests of what needs the C++ operators."""
    from gluonnlp_snli_plugin.native import operators

    if not operators.are_available():
        pytest.skip("no C++ operators: is there a C++ compiler?")


@pytest.fixture(scope="session")
def copying_compiler(tmp_path_factory):
    """What processes with an empty cache may have as $CXX: it copies the compiled operators, and saves 20 s."""
    from gluonnlp_snli_plugin.native import build

    path = tmp_path_factory.mktemp("compiler") / "c++"
    try:
        copy = f'for target; do :; done; cp "{build.library()}" "$target"'
    except build.BuildError as error:
        copy = f'echo "{error}" >&2; exit 1'
    path.write_text(f'#!/bin/sh\ncase "$1" in -v) echo copying version 1.0 >&2; exit;; esac\n{copy}\n')
    path.chmod(0o755)
    return str(path)


@pytest.fixture(scope="session")
def int8_operator(native_operators):
    """For tests of what needs instructions for 8-bit integers."""
    from gluonnlp_snli_plugin.native import operators

    if not operators.has_int8():
        pytest.skip("this processor has no instructions for 8-bit integers (VNNI)")


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    """The command ``gluonnlp-snli`` as pip installs it, as the beginning of a command line."""
    path = tmp_path_factory.mktemp("bin") / "gluonnlp-snli"
    path.write_text("import sys\nfrom gluonnlp_snli_plugin.cli import main\nsys.exit(main())\n")
    return [sys.executable, str(path)]


@pytest.fixture
def command(program):
    """Runs ``gluonnlp-snli`` in a process of its own; returns what ``subprocess.run`` returns."""

    def run(*arguments, **kwargs):
        kwargs.setdefault("timeout", 600)
        return subprocess.run(
            [*program, *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=kwargs.pop("cwd", REPOSITORY),
            **kwargs,
        )

    return run
