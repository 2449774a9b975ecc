"""The devices of a process as JAX sees them, and why it sees none."""

import contextlib
import hashlib
import importlib.util
import os
import re
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence

import jax
import mxnet as mx
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ..errors import PluginError, UsageError
from ..system.files import cache_folder

DRIVER_NEEDED = {"jax_cuda12_plugin": 525, "jax_cuda13_plugin": 580}  # the oldest for each of JAX's plugins
INSTALL = "pip install 'gluonnlp-snli-plugin[gpu]' (docs/gpu.md)"
_HALF_PRECISION = {"bfloat16": 8.0, "tfloat32": 8.0}  # the compute capability from which on a GPU has them


class Devices:
    """Devices that compute one program together: each batch is divided among them, parameters are on all of them.

    Parameters
    ----------
    contexts : list of Context
        Those of this process: GPUs, or CPU devices. In a run of several ranks those of all ranks are used.

    Attributes
    ----------
    devices : list of jax.Device
        Those of this process.
    every : list of jax.Device
        Those of all processes.
    kind : str
        The model of the GPU, or 'cpu'.

    Raises
    ------
    UsageError
        If a device does not exist.
    PluginError
        If JAX cannot use it.
    """

    def __init__(self, contexts: Sequence[mx.Context], is_alone: bool = False) -> None:
        platform = contexts[0].device_type
        with explained():
            self.devices = jax.local_devices(backend=platform)[: len(contexts)]
        if len(self.devices) < len(contexts):
            there = f"JAX has {len(self.devices)} of the kind {platform} in this process"
            raise UsageError(f"{len(contexts)} devices are asked for, {there}")
        self.kind: str = self.devices[0].device_kind
        self.is_alone = is_alone or jax.process_count() == 1
        every = self.devices if self.is_alone else _of_all_processes(platform, len(contexts))
        self.every = every
        mesh = Mesh(np.array(every), ("rows",))
        self.by_row, self.replicated = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in (("rows",), ()))

    def __len__(self) -> int:
        return len(self.devices)

    @property
    def num_ranks(self) -> int:
        """How many processes share each batch."""
        return 1 if self.is_alone else jax.process_count()

    def divide(self, arrays: Dict[str, np.ndarray]) -> Dict[str, Any]:
        """Put this process's rows of a batch on the devices."""
        if self.is_alone:
            return jax.device_put(arrays, self.by_row)
        return {name: jax.make_array_from_process_local_data(self.by_row, array) for name, array in arrays.items()}

    def replicate(self, arrays: Any) -> Any:
        """Put arrays, in any nested dict, on every device as a whole; a copy."""
        if self.is_alone:
            return jax.device_put(arrays, self.replicated, may_alias=False)
        return jax.tree.map(
            lambda array: jax.make_array_from_callback(np.shape(array), self.replicated, np.asarray(array).__getitem__),
            arrays,
        )

    def own_rows(self, array: Any) -> np.ndarray:
        """This process's rows of an array that is divided among the devices."""
        if self.is_alone:
            return np.asarray(array)
        shards = sorted(array.addressable_shards, key=lambda shard: shard.index[0].start or 0)
        return np.concatenate([np.asarray(shard.data) for shard in shards])

    def shapes(self, arrays: Dict[str, np.ndarray]) -> Dict[str, Any]:
        """What :meth:`divide` makes of arrays of one process: shapes and dtypes of all processes together."""
        return {
            name: jax.ShapeDtypeStruct(
                (len(array) * self.num_ranks, *array.shape[1:]), array.dtype, sharding=self.by_row
            )
            for name, array in arrays.items()
        }

    def require(self, dtype: str) -> None:
        """Raise a UsageError if the devices do not have a precision; 'float16' is for those that lack 'bfloat16'."""
        capability = getattr(self.devices[0], "compute_capability", None)
        if capability and float(capability) < _HALF_PRECISION.get(dtype, 0):
            instead = "float16" if dtype == "bfloat16" else "float32"
            raise UsageError(f"--dtype {dtype}: {self.kind} does not have it; use --dtype {instead}")

    @property
    def memory(self) -> Optional[int]:
        """Bytes that programs may use on a device, if that is limited."""
        statistics = self.devices[0].memory_stats() or {}
        return statistics.get("bytes_limit")


def _of_all_processes(platform: str, number: int) -> List[Any]:
    """The first devices of each process, by process."""
    found: Dict[int, List[Any]] = {}
    for device in jax.devices(platform):
        found.setdefault(device.process_index, []).append(device)
    return [device for process in sorted(found) for device in found[process][:number]]


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
        if memory_share:
            os.environ["XLA_PYTHON_CLIENT_MEM_FRACTION"] = str(memory_share)
        settings: Dict[str, Any] = {
            "jax_platforms": "cuda,cpu",
            "jax_cuda_visible_devices": ",".join(map(str, numbers)),
        }
    else:
        settings = {"jax_platforms": "cpu", "jax_num_cpu_devices": len(numbers)}
        if "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", ""):
            del settings["jax_num_cpu_devices"]
    for name, value in settings.items():
        if name.upper() not in os.environ:
            with contextlib.suppress(RuntimeError):  # JAX is already in use: what it lacks is told by Devices
                jax.config.update(name, value)
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        with contextlib.suppress(OSError):  # there is no place for it
            jax.config.update("jax_compilation_cache_dir", str(cache_folder("xla") / _machine(contexts[0].device_type)))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


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


def require_gpus(numbers: Sequence[int], root: str = "/", environment: Any = os.environ) -> None:
    """Raise a PluginError that says what is missing, if JAX cannot use GPUs of these numbers.

    Parameters
    ----------
    numbers : list of int
    root : str, default '/'
        Where /proc and /dev are.
    environment : mapping, default ``os.environ``
    """
    plugins = [name for name in DRIVER_NEEDED if importlib.util.find_spec(name)]
    driver = driver_version(root)
    asked = f"--gpus {','.join(map(str, numbers))}"
    if driver is None:
        raise PluginError(f"{asked}: this machine has no NVIDIA driver (there is no /proc/driver/nvidia/version)")
    if not plugins:
        raise UsageError(f"{asked}: the installed JAX is for CPU only: {INSTALL}")
    needed = min(DRIVER_NEEDED[name] for name in plugins)
    if driver < needed:
        raise PluginError(f"{asked}: the NVIDIA driver has version {driver}; {plugins[0]} needs {needed} or newer")
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        there = len([name for name in visible.split(",") if name.strip() not in ("", "-1")])
    else:
        there = len(list(Path(root, "dev").glob("nvidia[0-9]*")))
    if max(numbers) >= there:
        limit = " in CUDA_VISIBLE_DEVICES" if visible is not None else ""
        raise UsageError(f"{asked}: there are {there} GPU(s){limit}, numbered from 0")


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
    r"no supported devices|CUDA_ERROR_NO_DEVICE|no CUDA-capable device": "there is no GPU that CUDA can use",
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
