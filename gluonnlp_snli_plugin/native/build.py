"""Compiles the C++ operators once for this machine and keeps the library in the user's cache."""

import atexit
import concurrent.futures
import contextlib
import hashlib
import os
import platform
import shutil
import subprocess
import time
from pathlib import Path
from typing import List, Sequence, Tuple

import mxnet as mx

from ..system import threads
from ..system.files import cache_folder, digest, locked, replacing
from ..system.temporary import temporary_folder
from . import isa

_SOURCES = Path(__file__).parent / "src"
_MXNET = Path(mx.__file__).parent
# NaN and infinity keep their meaning; only errno and the floating-point flags, which are never read, are given up.
_FLAGS = "-std=c++17 -O3 -mtune=native -fopenmp -fPIC -fno-math-errno -fno-trapping-math".split()
# Bind to our own functions, not to those of the same name in another extension (Horovod has an older lib_api.cc).
_LINK_FLAGS = ["-shared", "-fopenmp", "-Wl,-Bsymbolic"]
_GLUE_FLAGS = [flag for flag in _FLAGS if flag != "-O3"]  # MXNet's own file: slow to optimize, without gain

_MONTH = 30 * 24 * 3600  # seconds


class BuildError(Exception):
    """The library cannot be built; the message says why in one line."""


def library() -> Path:
    """The path of the compiled library; compiles it first if necessary.

    It is for the newest instruction set that this processor has, ``GLUONNLP_SNLI_ISA`` permits and the compiler knows.
    Its file name has a hash of everything it depends on (sources, MXNet, compiler, instruction set, processor) and one
    of its content, so a library of another machine or a damaged one is never loaded. If the cache is not writable, the
    library is used by this process alone. After a build, libraries that have not been used for a month are removed.

    Returns
    -------
    Path

    Raises
    ------
    BuildError
        If no compiler is found, or it fails.
    UsageError
        If ``GLUONNLP_SNLI_ISA`` is not the name of an instruction set.
    """
    compiler = _compiler()
    options, version = _options(compiler)
    key = _key(compiler, version, options)
    with contextlib.ExitStack() as stack:
        try:
            folder = cache_folder("native")
            _require_own(folder)
            stack.enter_context(locked(folder / ".lock"))  # a second process waits, then finds the finished library
        except OSError:
            for_this_process = contextlib.ExitStack()
            folder = for_this_process.enter_context(temporary_folder())
            atexit.register(for_this_process.close)
        for built in folder.glob(f"{key}-*.so"):
            if built.stem == f"{key}-{digest(built)[:16]}":
                with contextlib.suppress(OSError):
                    os.utime(built)  # in use: not to be removed by the next build
                return built
            built.unlink()
        try:
            path = _build(compiler, options, folder, key)
        except OSError as error:
            raise BuildError(f"{folder}: {error.strerror}") from None
        _remove_unused(folder)
    return path


def _build(compiler: str, options: List[str], folder: Path, key: str) -> Path:
    glue = _MXNET / "src" / "lib_api.cc"
    with temporary_folder() as workspace:

        def compile_(source: Path) -> str:
            target = f"{workspace}/{source.stem}.o"
            flags = _GLUE_FLAGS if source == glue else _FLAGS
            _run([compiler, *flags, *options, f"-I{_MXNET / 'include'}", "-c", str(source), "-o", target])
            return target

        with concurrent.futures.ThreadPoolExecutor(threads.cores()) as pool:
            objects = list(pool.map(compile_, [glue, *_sources(".cc")]))  # the slowest first
        linked = f"{workspace}/library.so"
        _run([compiler, *_LINK_FLAGS, *objects, "-o", linked])
        path = folder / f"{key}-{digest(linked)[:16]}.so"
        with replacing(path) as temporary:
            shutil.copyfile(linked, temporary)
    return path


def _remove_unused(folder: Path) -> None:
    """Remove the libraries that have not been used for a month: those of other versions, compilers or machines."""
    digits = 16 * "[0-9a-f]"
    for path in folder.glob(f"{digits}-{digits}.so"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _MONTH:
                path.unlink()


def _run(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    except OSError as error:
        raise BuildError(f"{command[0]}: {error.strerror}") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        complaint = next((line for line in lines if "error" in line), lines[-1] if lines else "no message")
        if "std=c++17" in complaint:
            complaint = "it is too old: C++17 is needed, which GCC has since version 9"
        raise BuildError(f"{command[0]} failed with status {done.returncode}: {complaint}")
    return done.stderr


def _compiler() -> str:
    for name in filter(None, (os.environ.get("CXX"), "c++", "g++", "clang++")):
        path = shutil.which(name)
        if path:
            return path
    raise BuildError("no C++ compiler was found (on Debian: apt-get install g++)")


def _sources(suffix: str) -> List[Path]:
    return sorted(_SOURCES.glob(f"*{suffix}"))


def _options(compiler: str) -> Tuple[List[str], str]:
    """The options for the newest instruction set that processor and compiler support, and the compiler's version."""
    *newer, plain = (isa.compiler_options(name) for name in reversed(isa.available()))
    for options in newer:
        with contextlib.suppress(BuildError):  # an old compiler does not support them
            return options, _version(compiler, options)
    return plain, _version(compiler, plain)


def _version(compiler: str, options: List[str]) -> str:
    """The version that a compiler reports; a BuildError if it does not support these options."""
    output = _run([compiler, "-v", *_FLAGS, *options, "-E", "-x", "c++", os.devnull, "-o", os.devnull])
    return "\n".join(line for line in output.splitlines() if "version" in line)


def _key(compiler: str, version: str, options: List[str]) -> str:
    """Digest of everything that the library depends on."""
    result = hashlib.sha256()
    for path in [*_sources(".h"), *_sources(".cc"), _MXNET / "src" / "lib_api.cc", _MXNET / "include/mxnet/lib_api.h"]:
        result.update(digest(path).encode())
    for part in (
        mx.__version__,
        compiler,
        version,
        " ".join(_FLAGS + options + _LINK_FLAGS),
        platform.machine(),
        _processor(),
    ):
        result.update(part.encode() + b"\0")
    return result.hexdigest()[:16]


def _processor() -> str:
    """What distinguishes processors: model and instructions."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n\n")[0].splitlines()
        return "\n".join(line for line in lines if line.startswith(("vendor_id", "cpu family", "model", "flags")))
    return platform.processor()


def _require_own(folder: Path) -> None:
    """Raise a PermissionError if another user could put a library into a folder."""
    status = folder.stat()
    if status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise PermissionError(f"{folder} is owned or writable by another user")
