"""Prepares JAX for the devices of a process, and says why it cannot use them."""

import contextlib
import ctypes
import functools
import hashlib
import importlib.util
import os
import re
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence

import jax
import mxnet as mx

from ..errors import PluginError, UsageError
from ..system.files import cache_folder, replacing

DRIVER_NEEDED = {"jax_cuda12_plugin": 525, "jax_cuda13_plugin": 580}  # the oldest for each of JAX's plugins
_MEMORY_SHARES = ("XLA_PYTHON_CLIENT_MEM_FRACTION", "XLA_CLIENT_MEM_FRACTION")  # JAX complains if both are set
_MOST_MEMORY = 0.95  # of a GPU's; JAX's own limit is three quarters
_visible: List[int] = []  # the numbers of the GPUs that JAX was told to use in this process
INSTALL = "pip install 'gluonnlp-snli-plugin[gpu]' (docs/gpu.md)"


def configure(contexts: Sequence[mx.Context], memory_share: float = 0.0) -> None:
    """Have JAX use these devices only, compute in the same way each time, and keep compiled programs.

    It has an effect before JAX is first used in a process; variables of JAX and XLA that the user has set stay.

    Parameters
    ----------
    contexts : list of Context
    memory_share : float, default 0
        Of a GPU's memory, which is reserved at once; 0 for taking memory as it is needed.

    Raises
    ------
    UsageError
        If a GPU does not exist.
    PluginError
        If no GPU can be used.
    """
    numbers = [context.device_id for context in contexts]
    if contexts[0].device_type == "gpu":
        require_gpus(numbers)
        _default_flag("--xla_gpu_deterministic_ops=true")
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "true" if memory_share else "false")
        if not any(name in os.environ for name in _MEMORY_SHARES):
            os.environ[_MEMORY_SHARES[0]] = str(memory_share or _MOST_MEMORY)
        settings: Dict[str, Any] = {
            "jax_platforms": "cuda,cpu",
            "jax_cuda_visible_devices": ",".join(map(str, numbers)),
        }
        if not _visible:
            _visible.extend(numbers)
    else:
        settings = {"jax_platforms": "cpu", "jax_num_cpu_devices": len(numbers)}
        if "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", ""):
            del settings["jax_num_cpu_devices"]
    for name, value in settings.items():
        if name.upper() not in os.environ:
            with contextlib.suppress(RuntimeError):  # JAX is already in use: what it lacks is told by DeviceMesh
                jax.config.update(name, value)
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        with contextlib.suppress(OSError):  # there is no place for it
            jax.config.update("jax_compilation_cache_dir", str(cache_folder("xla") / _machine(contexts[0].device_type)))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    _keep_whole_programs()


class _CacheFolder(type(Path())):  # type: ignore[misc]  # PosixPath, which Python 3.8 lets nobody name as a base
    """The folder of JAX's cache, or a file in it, which is written atomically."""

    def write_bytes(self, data: Any) -> int:
        with replacing(self) as temporary:
            return temporary.write_bytes(data)


@functools.lru_cache(maxsize=None)
def _keep_whole_programs() -> None:
    """Let JAX write its cache of compiled programs atomically.

    By itself it writes in place: another process that reads warns of an error, and what a killed process has left is
    never replaced.
    """
    with contextlib.suppress(ImportError, AttributeError):  # another JAX
        from jax._src import lru_cache

        cache: Any = lru_cache.LRUCache
        original = cache.__init__

        @functools.wraps(original)
        def init(self: Any, *args: Any, **kwargs: Any) -> None:
            original(self, *args, **kwargs)
            if isinstance(self.path, Path):  # not in a cloud
                self.path = _CacheFolder(self.path)

        cache.__init__ = init


def chosen(contexts: Sequence[mx.Context], local: Sequence[Any], visible: Sequence[int] = _visible) -> List[Any]:
    """The devices that contexts mean, among those that JAX has in this process.

    Parameters
    ----------
    contexts : list of Context
        CPU devices, of which any do; or GPUs.
    local : list of jax.Device
    visible : list of int
        The numbers of the GPUs that JAX was told to use, before it was first used.

    Raises
    ------
    UsageError
        If JAX does not have them.
    """
    numbers: Sequence[int] = [context.device_id for context in contexts]
    if contexts[0].device_type == "cpu":
        there: Sequence[int] = range(len(local))
        numbers = range(len(contexts))
    else:
        there = sorted(visible) if len(visible) == len(local) else range(len(local))
    missing = sorted(set(numbers) - set(there))
    if missing:
        names = ", ".join(f"{contexts[0].device_type}:{number}" for number in missing)
        raise UsageError(f"JAX is already in use in this process, without {names}: name all devices at first")
    return [local[there.index(number)] for number in numbers]


def _default_flag(flag: str) -> None:
    flags = os.environ.get("XLA_FLAGS", "")
    if flag.partition("=")[0] not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {flag}".strip()


def _machine(platform: str) -> str:
    """A folder name: programs for one processor may not run on another. JAX itself tells GPUs apart."""
    if platform != "cpu":
        return platform
    content = Path("/proc/cpuinfo").read_text(errors="replace")
    about = re.findall(r"^(?:model name|flags)\s*:.*", content, re.MULTILINE)[:2]
    return f"cpu-{hashlib.sha256(' '.join(about).encode()).hexdigest()[:8]}"


# What is missing ------------------------------------------------------------------------------------------------------


def require_gpus(
    numbers: Sequence[int], root: str = "/", environment: Any = os.environ, library: str = "libcuda.so.1"
) -> None:
    """Raise a PluginError that says what is missing, if JAX is known to be unable to use GPUs of these numbers.

    Parameters
    ----------
    numbers : list of int
    root : str, default '/'
        Where /proc and /dev are; a container may lack what is looked for there.
    environment : mapping, default ``os.environ``
    library : str
        The driver's.
    """
    plugins = [name for name in DRIVER_NEEDED if importlib.util.find_spec(name)]
    driver = driver_version(root)
    asked = ",".join(f"gpu:{number}" for number in numbers)
    if driver is None and not _can_be_loaded(library):
        raise PluginError(f"{asked}: this machine has no NVIDIA driver (neither /proc/driver/nvidia nor {library})")
    if not plugins:
        raise UsageError(f"{asked}: the installed JAX is for CPU only: {INSTALL}")
    plugin = min(plugins, key=DRIVER_NEEDED.__getitem__)
    if driver is not None and driver < DRIVER_NEEDED[plugin]:
        needed = f"{plugin} needs {DRIVER_NEEDED[plugin]} or newer"
        raise PluginError(f"{asked}: the NVIDIA driver has version {driver}; {needed}")
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        there = len([name for name in visible.split(",") if name.strip() not in ("", "-1")])
    else:
        there = len(list(Path(root, "dev").glob("nvidia[0-9]*"))) or 1 + max(numbers)
    if max(numbers) >= there:
        limit = " in CUDA_VISIBLE_DEVICES" if visible is not None else ""
        raise UsageError(f"{asked}: there are {there} GPU(s){limit}, numbered from 0")


def _can_be_loaded(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def driver_version(root: str = "/") -> Optional[int]:
    """The major version of NVIDIA's driver, or None if there is none."""
    try:
        content = Path(root, "proc/driver/nvidia/version").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = re.search(r"Kernel Module\D*?(?:x86_64|aarch64)?\s+([0-9]+)\.", content)
    return int(found.group(1)) if found else None


_REASONS = {
    r"device is busy|DEVICE_UNAVAILABLE|exclusive": "another process has the GPU for itself",
    r"insufficient for CUDA|CUDA_ERROR_SYSTEM_DRIVER_MISMATCH|forward compatibility": (
        "the NVIDIA driver is too old for the installed CUDA libraries (docs/gpu.md)"
    ),
    r"RESOURCE_EXHAUSTED|[Oo]ut of memory": (
        "there is not enough free memory on it: another process may use it, which nvidia-smi shows"
    ),
    r"no supported devices|CUDA_ERROR_NO_DEVICE|no CUDA-capable device|cuInit\(0\) failed": (
        "there is no GPU that CUDA can use"
    ),
    r"CUDA_ERROR_INVALID_DEVICE|invalid device ordinal": "there is no GPU of that number",
}


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Say in one line why JAX could not start on a device."""
    try:
        yield
    except RuntimeError as error:
        raise PluginError(f"JAX cannot use the device: {reason_of(str(error))}") from None


def reason_of(message: str) -> str:
    """The reason in one of JAX's messages, in words that say what to do; else its first line."""
    for pattern, reason in _REASONS.items():
        if re.search(pattern, message):
            return reason
    return message.strip().split("\n")[0][:200]
