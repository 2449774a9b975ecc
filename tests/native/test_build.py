"""The C++ operators are compiled once, found again, and trusted only if they are what they should be."""

import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import mxnet as mx
import pytest

from gluonnlp_snli_plugin.native import build, isa, operators

_USE = """
import mxnet as mx
from gluonnlp_snli_plugin.native import operators
assert operators.are_available()
print("gelu(0), gelu(9):", *operators.gelu(mx.nd.array([0, 9])).asnumpy().tolist())
"""
_USED = "gelu(0), gelu(9): 0.0 9.0\n"


def _start(script, *arguments, **environment):
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _log_lines(stderr):
    """What the plugin has logged; MXNet may have remarks of its own."""
    return [line for line in stderr.splitlines() if "using MXNet's own operators" in line]


@pytest.fixture(scope="module")
def hasty_compiler(tmp_path_factory):
    """The real compiler, but for optimizing, which takes half of its time."""
    found = next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)
    if not found:
        pytest.skip("no C++ compiler")
    path = tmp_path_factory.mktemp("compiler") / "c++"
    path.write_text(f'#!/bin/sh\nexec "{found}" "$@" -O0\n')
    path.chmod(0o755)
    return str(path)


@pytest.fixture(scope="module")
def first_use(hasty_compiler, tmp_path_factory):
    """A cache in which two processes at once have looked for the operators, and what each has printed."""
    cache = tmp_path_factory.mktemp("cache")
    processes = [_start(_USE, XDG_CACHE_HOME=str(cache), CXX=hasty_compiler) for _ in range(2)]
    return cache, [process.communicate(timeout=600) for process in processes]


@pytest.fixture
def cache(first_use, hasty_compiler, tmp_path, monkeypatch):
    """A copy of that cache, which this process uses: the folder of the library."""
    shutil.copytree(str(first_use[0]), str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("CXX", hasty_compiler)
    return tmp_path / "cache" / "gluonnlp_snli_plugin" / "native"


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "gluonnlp_snli_plugin" / "native"


@pytest.fixture
def compiler(tmp_path, monkeypatch):
    """Makes a compiler out of a shell script, ``$target`` being the file to write, and lets CXX name it."""

    def make(body, first_line="#!/bin/sh\n"):
        path = tmp_path / "compiler"
        path.write_text(f'{first_line}case "$1" in -v) echo fake version 1.0 >&2; exit;; esac\n')
        with path.open("a") as script:
            script.write(f'echo compile >> "{tmp_path}/calls"\nfor target; do :; done\n{body}\n')
        path.chmod(0o755)
        monkeypatch.setenv("CXX", str(path))
        return path

    return make


@pytest.fixture
def quick_compiler(compiler, tmp_path):
    """One whose libraries all have the same content; returns how often it was called."""
    compiler('echo "a library" > "$target"')
    calls = tmp_path / "calls"
    return lambda: len(calls.read_text().splitlines()) if calls.exists() else 0


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder for temporary files."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path / "tmp"


# Built once -----------------------------------------------------------------------------------------------------------


def test_two_processes_at_once_both_get_working_operators_and_build_one_library(first_use):
    cache, results = first_use
    assert [stdout for stdout, _ in results] == [_USED, _USED], results
    assert not any(_log_lines(stderr) for _, stderr in results)
    (library,) = cache.glob("**/*.so")
    assert {path.name for path in library.parent.iterdir()} == {library.name, ".lock"}


def test_the_second_time_the_library_is_found(cache, monkeypatch):
    monkeypatch.setattr(build, "_build", None)
    (before,) = cache.glob("*.so")
    inode = before.stat().st_ino
    assert build.library() == before
    assert before.stat().st_ino == inode


def test_only_this_user_can_write_into_the_cache(first_use):
    (library,) = first_use[0].glob("**/*.so")
    assert library.parent.stat().st_mode & 0o777 == 0o700
    assert not library.stat().st_mode & 0o022


def test_a_compiler_of_ones_choice_makes_the_library(empty_cache, quick_compiler):
    library = build.library()
    assert library.read_text() == "a library\n" and library.parent == empty_cache
    calls = quick_compiler()
    assert calls > 1
    assert build.library() == library and quick_compiler() == calls


@pytest.mark.skipif("avx2" not in isa.available(), reason="there is one instruction set to choose from")
def test_instructions_that_a_compiler_does_not_know_are_left_out(empty_cache, compiler, tmp_path):
    path = compiler('echo "$*" >> "$(dirname "$0")/options"; echo "a library" > "$target"')
    path.write_text(path.read_text().replace("exit;;", 'case "$*" in *avx512*|*vnni*) exit 1;; esac; exit;;'))
    build.library()
    options = (tmp_path / "options").read_text()
    assert "-mavx2 -mfma" in options and "avx512" not in options and "vnni" not in options


def test_building_leaves_no_other_files(empty_cache, quick_compiler, temporary):
    library = build.library()
    assert {path.name for path in empty_cache.iterdir()} == {library.name, ".lock"}
    assert not list(temporary.iterdir())


# Removed when unused --------------------------------------------------------------------------------------------------


def _age(path, days):
    path.touch()
    os.utime(str(path), (time.time() - days * 24 * 3600,) * 2)


@pytest.mark.parametrize("days, stays", [(29, True), (31, False)])
def test_a_build_removes_libraries_unused_for_a_month(empty_cache, quick_compiler, monkeypatch, days, stays):
    before = build.library()
    _age(before, days)
    monkeypatch.setattr(build, "_FLAGS", [*build._FLAGS, "-O1"])
    assert build.library().exists() and before.exists() == stays


def test_a_library_that_is_used_stays(empty_cache, quick_compiler, monkeypatch):
    before = build.library()
    _age(before, 31)
    assert build.library() == before
    monkeypatch.setattr(build, "_FLAGS", [*build._FLAGS, "-O1"])
    assert build.library() != before and before.exists()


@pytest.mark.parametrize(
    "name", ["other.so", "notes-0123456789abcdef.so", f"{'a' * 16}-{'b' * 16}.txt", "a-b.so", ".lock"]
)
def test_files_of_other_names_are_never_removed(empty_cache, quick_compiler, name):
    empty_cache.mkdir(mode=0o700, parents=True)
    _age(empty_cache / name, 365)
    build.library()
    assert (empty_cache / name).exists()


def test_a_library_that_cannot_be_removed_or_touched_stops_nobody(empty_cache, quick_compiler, monkeypatch):
    def refuse(path, *arguments, **settings):
        if Path(path).suffix == ".so":
            raise PermissionError
        return unlink(path, *arguments, **settings)

    empty_cache.mkdir(mode=0o700, parents=True)
    other = empty_cache / f"{'a' * 16}-{'b' * 16}.so"
    _age(other, 31)
    unlink = build.Path.unlink
    monkeypatch.setattr(build.Path, "unlink", refuse)
    library = build.library()
    monkeypatch.setattr(build.os, "utime", refuse)
    assert build.library() == library and other.exists()


# Trusted or not -------------------------------------------------------------------------------------------------------


def _damage(path, how):
    content = path.read_bytes()
    middle = len(content) // 2
    damaged = {
        "a bit flipped": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        "truncated": content[:middle],
        "empty": b"",
        "another library": b"a library of another user",
    }
    path.write_bytes(damaged[how])


@pytest.mark.parametrize("how", ["a bit flipped", "truncated", "empty", "another library"])
def test_a_damaged_library_is_built_anew(empty_cache, quick_compiler, how):
    library = build.library()
    calls = quick_compiler()
    _damage(library, how)
    assert build.library() == library
    assert library.read_text() == "a library\n" and quick_compiler() == 2 * calls


def test_a_damaged_library_without_a_compiler_to_build_it_anew_is_not_loaded(cache, monkeypatch, caplog):
    def refuse(*_):
        raise build.BuildError("no compiling here")

    (library,) = cache.glob("*.so")
    _damage(library, "a bit flipped")
    monkeypatch.setattr(build, "_build", refuse)
    assert operators.loaded.__wrapped__() is None
    assert not library.exists() and "no compiling here" in caplog.text


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_folder_that_others_can_write_into_is_not_trusted(empty_cache, quick_compiler, mode):
    library = build.library()
    empty_cache.chmod(mode)
    other = build.library()
    assert other.parent != empty_cache and other.read_text() == "a library\n"
    assert library.exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_not_trusted(empty_cache, quick_compiler):
    build.library()
    os.chown(str(empty_cache), 12345, 12345)
    assert build.library().parent != empty_cache


def _append_to_source(monkeypatch, tmp_path, name):
    shutil.copytree(str(build._SOURCES), str(tmp_path / "src"))
    with (tmp_path / "src" / name).open("a") as source:
        source.write("\n")
    monkeypatch.setattr(build, "_SOURCES", tmp_path / "src")


def _change_mxnet(monkeypatch, tmp_path, name):
    for each in ("src/lib_api.cc", "include/mxnet/lib_api.h"):
        (tmp_path / "mxnet" / each).parent.mkdir(parents=True)
        shutil.copyfile(str(build._MXNET / each), str(tmp_path / "mxnet" / each))
    with (tmp_path / "mxnet" / name).open("a") as source:
        source.write("\n")
    monkeypatch.setattr(build, "_MXNET", tmp_path / "mxnet")


def _change_compiler_version(monkeypatch, tmp_path, _):
    compiler = Path(os.environ["CXX"])
    compiler.write_text(compiler.read_text().replace("version 1.0", "version 1.1"))


def _rename_compiler(monkeypatch, tmp_path, name):
    shutil.copy(os.environ["CXX"], str(tmp_path / name))
    monkeypatch.setenv("CXX", str(tmp_path / name))


INGREDIENTS = {
    "a source": lambda *with_: _append_to_source(*with_, "gelu.cc"),
    "a header": lambda *with_: _append_to_source(*with_, "simd.h"),
    "MXNet's source": lambda *with_: _change_mxnet(*with_, "src/lib_api.cc"),
    "MXNet's header": lambda *with_: _change_mxnet(*with_, "include/mxnet/lib_api.h"),
    "MXNet's version": lambda patch, _: patch.setattr(mx, "__version__", "1.9.2"),
    "the flags": lambda patch, _: patch.setattr(build, "_FLAGS", [*build._FLAGS, "-O1"]),
    "the compiler": lambda *with_: _rename_compiler(*with_, "other"),
    "the compiler's version": lambda *with_: _change_compiler_version(*with_, None),
    "the instruction set": lambda patch, _: patch.setenv(isa.VARIABLE, "plain"),
    "the processor": lambda patch, _: patch.setattr(build, "_processor", lambda: "model name: another"),
    "the architecture": lambda patch, _: patch.setattr(build.platform, "machine", lambda: "aarch64"),
}


@pytest.mark.parametrize("ingredient", INGREDIENTS)
def test_a_library_made_from_something_else_is_not_used(empty_cache, quick_compiler, monkeypatch, tmp_path, ingredient):
    before = build.library()
    calls = quick_compiler()
    INGREDIENTS[ingredient](monkeypatch, tmp_path)
    assert build.library() != before
    assert quick_compiler() > calls


def test_the_processor_is_told_by_its_model_and_what_it_can_do():
    lines = build._processor().splitlines()
    if not Path("/proc/cpuinfo").exists():
        pytest.skip("no /proc/cpuinfo")
    assert any(line.startswith("flags") for line in lines) and any(line.startswith("model name") for line in lines)
    assert not any("MHz" in line for line in lines), "which changes from moment to moment"


# No place for the library ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["below a file", "/proc/nowhere", "relative"])
def test_without_a_cache_the_library_is_a_temporary_file(quick_compiler, temporary, tmp_path, monkeypatch, place):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file") if place == "below a file" else place)
    library = build.library()
    assert library.read_text() == "a library\n" and temporary in library.parents
    assert not Path("relative").exists()


def test_without_a_cache_the_library_serves_this_process_alone(native_operators, copying_compiler, tmp_path):
    (tmp_path / "tmp").mkdir()
    environment = {"XDG_CACHE_HOME": "/proc/nowhere", "TMPDIR": str(tmp_path / "tmp"), "CXX": copying_compiler}
    stdout, stderr = _start(_USE, **environment).communicate(timeout=600)
    assert stdout == _USED and not _log_lines(stderr), stderr
    assert not list((tmp_path / "tmp").iterdir()), "and nothing of it stays"


# No library -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def complaint(empty_cache, caplog):
    """Looks for the operators, in vain; returns the one line of the log."""

    def ask():
        caplog.clear()
        assert operators.loaded.__wrapped__() is None
        (record,) = caplog.records
        assert record.name == "gluonnlp_snli_plugin" and record.levelno == logging.WARNING
        assert "\n" not in record.getMessage() and "using MXNet's own operators" in record.getMessage()
        assert not list(empty_cache.glob("*.so")) if empty_cache.exists() else True
        return record.getMessage()

    return ask


def test_without_a_compiler_a_line_says_what_is_missing(complaint, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CXX", "/nonexistent/c++")
    assert "no C++ compiler was found" in complaint() and "apt-get install g++" in complaint()


def test_a_compilers_error_is_in_the_line(complaint, compiler):
    path = compiler("echo some remark >&2; echo 'x.cc:1: error: no such thing' >&2; echo 'more of it' >&2; exit 1")
    assert complaint().endswith(f"{path} failed with status 1: x.cc:1: error: no such thing")


def test_a_compiler_that_fails_without_a_word_is_named(complaint, compiler):
    path = compiler("exit 3")
    assert complaint().endswith(f"{path} failed with status 3: no message")


def test_a_compiler_that_is_too_old_is_named(complaint, compiler):
    path = compiler("exit 1")
    refusal = "error: unrecognized command line option '-std=c++17'"
    path.write_text(path.read_text().replace("exit;;", f'echo "{refusal}" >&2; exit 1;;'))
    assert complaint().endswith(
        f"{path} failed with status 1: it is too old: C++17 is needed, which GCC has since version 9"
    )


def test_a_compiler_that_dies_is_named(complaint, compiler):
    path = compiler("kill -9 $$")
    assert f"{path} failed with status -9" in complaint()


def test_a_compiler_that_is_no_program_is_named(complaint, compiler):
    path = compiler("exit 0", first_line="\x7fELF")
    assert str(path) in complaint()


def test_why_mxnet_cannot_load_a_library_is_in_the_line(complaint, compiler, empty_cache, monkeypatch):
    compiler('echo "no library" > "$target"')
    path = build.library()
    monkeypatch.setattr(operators, "library", lambda: path.rename(path.with_suffix(".other")))
    assert complaint().endswith("file too short")


_FINETUNE = """
import sys
from gluonnlp_snli_plugin import Predictor, finetune
from gluonnlp_snli_plugin.native import operators
name, pairs, out = sys.argv[1:]
summary = finetune(
    dataset_name=name, train_file=pairs, dev_file=pairs, output_dir=out, max_len=32, epochs=12, batch_size=16, lr=3e-3
)
assert not operators.are_available()
assert summary["dev_accuracy"] > 0.6, summary
print(Predictor.load(out)([("The dog is sleeping.", "a dog is sleeping")])[0].label)
"""


def test_without_a_compiler_finetune_and_predictor_work_with_mxnets_operators(tiny_name, pairs_file, tmp_path):
    process = _start(
        _FINETUNE, tiny_name, pairs_file, tmp_path / "out", PATH="", CXX="/nonexistent", XDG_CACHE_HOME=str(tmp_path)
    )
    stdout, stderr = process.communicate(timeout=600)
    assert process.returncode == 0, stderr
    assert stdout.split()[-1] in ("entailment", "contradiction", "neutral")
    (line,) = _log_lines(stderr)
    assert "no C++ compiler" in line
