"""Ranks that meet through jax.distributed, as real processes: they exchange values exactly, and end with each other."""

import ast
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gluonnlp_snli_plugin.errors import PluginError, UsageError
from gluonnlp_snli_plugin.parallel import jax_ranks, launch
from gluonnlp_snli_plugin.parallel import place as places
from gluonnlp_snli_plugin.parallel.backends import join_ranks
from gluonnlp_snli_plugin.parallel.cluster import TIMEOUT
from gluonnlp_snli_plugin.parallel.connection import hold_port
from gluonnlp_snli_plugin.parallel.place import COORDINATOR, NUM_RANKS, NUMBER, RANK, STAND_INS
from gluonnlp_snli_plugin.system.follow import LAUNCHER

_OTHERS = [name for names in STAND_INS.values() for name in names]


@pytest.fixture
def variables(monkeypatch):
    """Sets the variables of a rank, after taking out those there are."""
    for name in (COORDINATOR, NUM_RANKS, NUMBER, RANK, LAUNCHER, "DMLC_ROLE", "HOROVOD_RANK", *_OTHERS):
        monkeypatch.delenv(name, raising=False)

    def set_variables(**values):
        for name, value in values.items():
            monkeypatch.setenv(name, str(value))

    return set_variables


# Forks ranks, because importing MXNet and JAX takes seconds. Each line of its input holds a program, the environment of
# each rank, and where to write what it says. Prints the ranks' process numbers, and their exit statuses at the end.
_FORK = """
import json, os, signal, sys, time
import jax, mxnet as mx, numpy as np
from gluonnlp_snli_plugin.parallel.backends import join_ranks, leave_ranks

for line in iter(sys.stdin.readline, ""):
    program, environments, output = json.loads(line)
    processes = []
    for rank, environment in enumerate(environments):
        processes.append(os.fork())
        if processes[-1] == 0:
            for stream, name in ((1, "out"), (2, "err")):
                os.dup2(os.open(f"{output}-{rank}-{name}", os.O_CREAT | os.O_WRONLY), stream)
            os.environ.update(environment)
            ranks = join_ranks("jax")
            exec(program)
            sys.exit()
    print(json.dumps(processes), flush=True)
    statuses = [os.waitpid(process, 0)[1] for process in processes]
    print(json.dumps([status >> 8 or -(status & 127) for status in statuses]), flush=True)
"""


class _Started:
    """Ranks that run a program, in which ``ranks`` have met."""

    def __init__(self, fork, program, num_ranks, output):
        self._fork, self._output, self.num_ranks, self.statuses = fork, output, num_ranks, None
        self._held = hold_port()  # so that no other process gets it before rank 0 listens there
        address = f"localhost:{self._held.getsockname()[1]}"
        environments = [{COORDINATOR: address, NUM_RANKS: str(num_ranks), NUMBER: str(i)} for i in range(num_ranks)]
        fork.stdin.write(json.dumps([program, environments, str(output)]) + "\n")
        fork.stdin.flush()
        self.processes = json.loads(fork.stdout.readline())

    def said(self, rank):
        paths = [Path(f"{self._output}-{rank}-{name}") for name in ("out", "err")]
        return tuple(path.read_text() if path.exists() else "" for path in paths)

    def await_ready(self):
        """Wait until all have printed that they are ready."""
        while {self.said(rank)[0] for rank in range(self.num_ranks)} != {"ready\n"}:
            assert not any(self.said(rank)[1] for rank in range(self.num_ranks)), self.said(0) + self.said(1)
            time.sleep(0.01)

    def end(self):
        """Their exit statuses, once they have ended."""
        self.statuses = json.loads(self._fork.stdout.readline())
        self._held.close()
        return self.statuses


@pytest.fixture(scope="module")
def fork():
    removed = {COORDINATOR, NUM_RANKS, NUMBER, RANK, LAUNCHER, "DMLC_ROLE", "HOROVOD_RANK", "XLA_FLAGS", *_OTHERS}
    environment = {name: value for name, value in os.environ.items() if name not in removed}
    environment.update(JAX_PLATFORMS="cpu", NPROC="1", OMP_NUM_THREADS="1")
    command = [sys.executable, "-u", "-W", "ignore", "-c", _FORK]
    process = subprocess.Popen(command, env=environment, stdin=-1, stdout=-1, text=True, start_new_session=True)
    yield process
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.fixture
def start(fork, tmp_path):
    started = []

    def start(program, num_ranks):
        started.append(_Started(fork, program, num_ranks, tmp_path / f"said-{len(started)}"))
        return started[-1]

    yield start
    for ranks in started:
        if ranks.statuses is None:
            for process in ranks.processes:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            ranks.end()


# What ranks say to each other ----------------------------------------------------------------------------------------

# Of each rank; every value of it is compared, byte by byte, with what another process says of the same line.
_VALUES = """[
    np.roll([0.1, -1e300, np.inf, 5e-324], rank),
    np.array([[2**62 + 1, -1], [0, 7 + rank]]),
    np.array([1 / 3, 1e-45, -0.0], np.float32),
    np.array([np.nan], np.float16),
    np.arange(256, dtype=np.uint8) + rank,
    np.array([True, False, rank == 0]),
    np.array(3.25 + rank),
    np.array(["a", ["bcd", "é"][rank % 2]], "U3"),
    np.zeros((2, 0)),
]"""

_EXCHANGE = f"""
from gluonnlp_snli_plugin.parallel.place import place_on_machine
import jax

n, r = ranks.num_ranks, ranks.rank
values_of = lambda rank: {_VALUES}
for which, own in enumerate(values_of(r)):
    expected = np.stack([values_of(rank)[which] for rank in range(n)])
    gathered = ranks.gather(own)
    assert gathered.dtype == own.dtype and gathered.shape == expected.shape, own
    assert gathered.tobytes() == expected.tobytes(), own
assert ranks.gather([r, 10]).tolist() == [[i, 10] for i in range(n)]

assert ranks.add_up("figures", np.array([1, 2 + r])).tolist() == [n, 2 * n + n * (n - 1) / 2]
array = mx.nd.array([[0.5 + r, -r]])
ranks.sum("array", array)
assert array.asnumpy().tolist() == [[n / 2 + n * (n - 1) / 2, -n * (n - 1) / 2]]
gradients = [[mx.nd.array([3.0 * r], mx.cpu(i)) for i in range(2)], [mx.nd.ones((5000, 3)) * r]]
ranks.reduce(gradients)
assert [copy.asnumpy().tolist() for copy in gradients[0]] == [[1.5 * (n - 1)]] * 2
assert (gradients[1][0].asnumpy() == (n - 1) / 2).all()

parameter = mx.gluon.Parameter("weight", shape=(2, 2))
parameter.initialize(mx.init.Constant(5 + r), ctx=[mx.cpu(0), mx.cpu(1)])
ranks.share([parameter])
assert [copy.asnumpy().tolist() for copy in parameter.list_data()] == [[[5, 5], [5, 5]]] * 2

time.sleep(0.3 * r)
begin = time.time()
ranks.wait()
assert (ranks.gather(time.time()) >= ranks.gather(begin).max()).all()

assert place_on_machine() == (r, n)
assert (jax.process_index(), jax.process_count(), len(jax.devices())) == (r, n, n)
ranks.connect(jax.devices())
print("connected")
split = jax.sharding.NamedSharding(jax.sharding.Mesh(jax.devices(), ("data",)), jax.sharding.PartitionSpec("data"))
whole = jax.sharding.NamedSharding(split.mesh, jax.sharding.PartitionSpec())
batch = jax.make_array_from_process_local_data(split, np.array([1.0 + r], np.float32))
assert float(jax.jit(lambda batch: batch.sum(), out_shardings=whole)(batch)) == n * (n + 1) / 2
ranks.close()
"""


@pytest.mark.jax
@pytest.mark.parametrize("num_ranks", [2, 3])
def test_ranks_exchange_values_exactly_and_compute_together(start, num_ranks):
    started = start(_EXCHANGE, num_ranks)
    statuses = started.end()
    # Nothing else is said: what Gloo would say on standard output is held back.
    assert [started.said(rank) for rank in range(num_ranks)] == [("connected\n", "")] * num_ranks
    assert statuses == [0] * num_ranks


# A rank that ends ----------------------------------------------------------------------------------------------------

_TRAIN = """
import jax
ranks.connect(jax.devices())
split = jax.sharding.NamedSharding(jax.sharding.Mesh(jax.devices(), ("data",)), jax.sharding.PartitionSpec("data"))
whole = jax.sharding.NamedSharding(split.mesh, jax.sharding.PartitionSpec())
batch = jax.make_array_from_process_local_data(split, np.ones(1, np.float32))
step = jax.jit(lambda batch: batch.sum(), out_shardings=whole)
print("ready", flush=True)
while True:
    step(batch).block_until_ready()
"""


@pytest.mark.jax
def test_a_rank_that_is_killed_ends_the_others_with_one_line_each(start):
    started = start(_TRAIN, 3)
    started.await_ready()
    begin = time.monotonic()
    os.kill(started.processes[0], signal.SIGKILL)  # with it dies the service without which JAX's own client aborts
    assert started.end() == [-signal.SIGKILL, 1, 1] and time.monotonic() - begin < 300
    for rank in (1, 2):
        line = f"gluonnlp-snli: error: rank {rank}: rank 0 of 3 was killed, or its machine cannot be reached\n"
        assert started.said(rank) == ("ready\n", line)


@pytest.mark.jax
def test_a_rank_that_fails_says_why_and_ends_the_other(start):
    started = start(f"if ranks.rank == 1: raise KeyError('the reason')\n{_TRAIN}", 2)
    assert started.end() == [1, 1]
    errors = started.said(1)[1]
    assert errors.count("Traceback") == 1 and errors.endswith("KeyError: 'the reason'\n")
    line = "gluonnlp-snli: error: rank 0: rank 1 of 2 has ended with exit status 1; its own output says why\n"
    assert started.said(0) == ("", line)


# Rank 0 does not end by itself; it need not be given twenty seconds for that.
_IS_TOLD_BY_SIGTERM = """
from gluonnlp_snli_plugin.parallel import hub
hub._PATIENCE_AFTER_STOP = 0.2
signal.signal(signal.SIGTERM, lambda *_: leave_ranks(143))
print("ready", flush=True)
while True:
    time.sleep(0.1)  # a signal just before a sleep waits for its end
"""


@pytest.mark.jax
def test_sigterm_is_left_to_the_program(start):
    started = start(_IS_TOLD_BY_SIGTERM, 2)
    started.await_ready()
    os.kill(started.processes[1], signal.SIGTERM)  # alone: the other may hear of its end before its own signal
    line = "gluonnlp-snli: error: rank 0: rank 1 of 2 has ended with exit status 143; its own output says why\n"
    assert started.end() == [1, 143]
    assert (started.said(0), started.said(1)) == (("ready\n", line), ("ready\n", ""))


# Variables -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values, complaint",
    [
        ({COORDINATOR: "a:1"}, f"--comm jax: {NUM_RANKS}, {NUMBER} must be set too"),
        ({NUMBER: 0}, f"--comm jax: {COORDINATOR}, {NUM_RANKS} must be set too"),
        ({COORDINATOR: "a:1", NUM_RANKS: 2}, f"--comm jax: {NUMBER} must be set too"),
        ({COORDINATOR: "a", NUM_RANKS: 2, NUMBER: 0}, f"{COORDINATOR} is 'a'; it must be HOST:PORT"),
        ({COORDINATOR: "a:65536", NUM_RANKS: 2, NUMBER: 0}, "it must be HOST:PORT"),
        ({COORDINATOR: "http://a:1", NUM_RANKS: 2, NUMBER: 0}, "it must be HOST:PORT"),
        ({COORDINATOR: "a:1", NUM_RANKS: "two", NUMBER: 0}, f"{NUM_RANKS} is 'two'; it must be a number"),
        ({COORDINATOR: "a:1", NUM_RANKS: 2, NUMBER: -1}, f"{NUMBER} is '-1'; it must be a number"),
        ({COORDINATOR: "a:1", NUM_RANKS: 2, NUMBER: 2}, f"{NUMBER} is 2; with {NUM_RANKS} 2 it must be from 0 to 1"),
    ],
)
def test_a_variable_that_is_missing_or_wrong_is_named(variables, monkeypatch, values, complaint):
    monkeypatch.setattr(jax_ranks, "require_jax", lambda what: None)
    variables(**values)
    with pytest.raises(PluginError, match=re.escape(complaint)):
        join_ranks("jax")


@pytest.mark.parametrize(
    "values, place",
    [
        ({COORDINATOR: "node1:9000", NUM_RANKS: 4, NUMBER: 3}, ("node1", 9000, 3, 4)),
        ({COORDINATOR: "[fe80::1]:9000", NUM_RANKS: 1, NUMBER: 0}, ("fe80::1", 9000, 0, 1)),
        ({COORDINATOR: "node1:9000", "SLURM_NTASKS": 4, "SLURM_PROCID": 2}, ("node1", 9000, 2, 4)),
        (
            {
                COORDINATOR: "node1:9000",
                "OMPI_COMM_WORLD_SIZE": 4,
                "OMPI_COMM_WORLD_RANK": 2,
                "SLURM_NTASKS": 1,
                "SLURM_PROCID": 0,
            },
            ("node1", 9000, 2, 4),
        ),
    ],
)
def test_a_rank_learns_its_place_from_jaxs_variables_or_from_slurm_and_mpi(variables, values, place):
    variables(**values)
    assert jax_ranks._read_variables() == place


@pytest.mark.jax
def test_a_rank_0_that_never_comes_is_named(variables, port):
    variables(**{COORDINATOR: f"localhost:{port}", NUM_RANKS: 2, NUMBER: 1, TIMEOUT: 0.3})
    with pytest.raises(PluginError, match=rf"^no rank 0 at localhost:{port}: Connection refused \(0\.3 s, {TIMEOUT}\)"):
        join_ranks("jax")


# Without JAX ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def no_jax(monkeypatch):
    find = places.importlib.util.find_spec
    monkeypatch.setattr(places.importlib.util, "find_spec", lambda name: None if name == "jax" else find(name))


def test_a_rank_without_jax_says_how_to_install_it(variables, no_jax):
    variables(**{COORDINATOR: "a:1", NUM_RANKS: 2, NUMBER: 0})
    with pytest.raises(
        UsageError, match=r"^--comm jax needs JAX: pip install 'gluonnlp-snli-plugin\[gpu\]' for GPUs, or jax for CPU$"
    ):
        join_ranks("jax")


def test_no_rank_is_started_without_jax(no_jax):
    with pytest.raises(UsageError, match="^--comm jax needs JAX"):
        launch.launch([], 2, "jax")


@pytest.mark.parametrize("path", list(Path(jax_ranks.__file__).parent.glob("*.py")), ids=lambda path: path.stem)
def test_modules_are_imported_without_jax(path):
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        names = [alias.name for alias in getattr(node, "names", ())] + [getattr(node, "module", None) or ""]
        assert not any(name.split(".")[0] == "jax" for name in names if isinstance(node, (ast.Import, ast.ImportFrom)))
