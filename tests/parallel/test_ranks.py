"""Devices are named as users name them, and share a batch; ranks know their place and speak to each other."""

import threading

import mxnet as mx
import numpy as np
import pytest

from gluonnlp_snli_plugin.data.batches import Batch
from gluonnlp_snli_plugin.errors import UsageError
from gluonnlp_snli_plugin.parallel import place as places
from gluonnlp_snli_plugin.parallel.backends import join_ranks
from gluonnlp_snli_plugin.parallel.devices import Devices, parse_devices, parse_script_devices
from gluonnlp_snli_plugin.parallel.ranks import Ranks


def test_the_cpu_is_the_default():
    devices = parse_devices()
    assert devices.contexts == [mx.cpu(0)] and str(devices) == "cpu:0"


def test_several_devices():
    assert parse_devices(devices="cpu:0, cpu:1").contexts == [mx.cpu(0), mx.cpu(1)]


@pytest.mark.parametrize("devices", ["tpu:0", "cpu:x", "cpu:0;cpu:1", "cpu:0,", "cpu:-1", "gpu:-1"])
def test_what_is_no_device_is_named(devices):
    with pytest.raises(UsageError, match="no device"):
        parse_devices(devices=devices)


def test_a_device_named_twice_is_refused():
    with pytest.raises(UsageError, match="twice"):
        parse_devices(devices="cpu:0,cpu")


def test_gpus_are_devices_where_xla_computes():
    devices = parse_devices(gpus="1,0")
    assert (str(devices), devices.uses_xla) == ("gpu:1,gpu:0", True)
    assert str(parse_devices(devices="gpu:1,gpu:0")) == "gpu:1,gpu:0"
    assert devices.contexts == [mx.cpu()]  # where MXNet keeps the net meanwhile


def test_the_engine_is_mxnet_on_cpu_unless_another_is_named():
    assert not parse_devices().uses_xla and not parse_devices(engine="mxnet").uses_xla
    assert parse_devices(engine="xla").uses_xla


@pytest.mark.parametrize(
    "options, complaint",
    [
        ({"gpus": "0", "devices": "cpu:0"}, "--gpus and --devices both name devices"),
        ({"devices": "cpu:0,gpu:0"}, "two kinds"),
        ({"gpus": "0", "engine": "mxnet"}, "omit --engine mxnet"),
        ({"engine": "torch"}, "choose from auto, mxnet, xla"),
        ({"gpus": "0,0"}, "a GPU is named twice"),
        ({"gpus": "first"}, "by their numbers"),
    ],
)
def test_devices_that_make_no_sense_are_refused(options, complaint):
    with pytest.raises(UsageError, match=complaint):
        parse_devices(**options)


@pytest.mark.parametrize(
    "options, complaint",
    [
        ({"gpus": "0,0"}, "a GPU is named twice"),
        ({"gpus": "0,"}, "by their numbers"),
        ({"gpus": "99", "engine": "mxnet"}, r"--engine mxnet: MXNet cannot compute on gpu\(99\)"),
        ({"devices": "cpu:0,cpu:1"}, "--devices is for computing a script through XLA: give --engine xla too"),
        ({"devices": "cpu:0", "engine": "mxnet"}, "--devices is for computing a script through XLA"),
        ({"gpus": "0", "devices": "cpu:0"}, "--gpus and --devices both name devices"),
    ],
)
def test_what_is_no_device_for_a_script_is_told(options, complaint):
    with pytest.raises(UsageError, match=complaint):
        parse_script_devices(**options)


def test_a_script_has_the_cpu_unless_other_devices_are_named():
    assert parse_script_devices() is None and parse_script_devices(engine="mxnet") is None
    devices = parse_script_devices(devices="cpu:0,cpu:1", engine="xla")
    assert devices.uses_xla and str(devices) == "cpu:0,cpu:1"


def test_gpus_are_computed_on_by_mxnet_where_it_can_and_through_xla_elsewhere(monkeypatch):
    assert parse_script_devices(gpus="3,1").uses_xla  # MXNet has no GPU here
    ones = mx.nd.ones
    monkeypatch.setattr(mx.nd, "ones", lambda shape, place: ones(shape))
    monkeypatch.setattr(mx.runtime.Features, "is_enabled", lambda features, name: name == "CUDA")
    assert not parse_script_devices(gpus="3,1").uses_xla
    assert parse_script_devices(gpus="3,1", engine="xla").uses_xla


@pytest.mark.parametrize("size", [2, 3, 7, 8])
def test_each_device_gets_its_share_of_the_batch(size):
    index = np.arange(size)
    table = np.arange(size * 4, dtype=np.int32).reshape(size, 4)
    batch = Batch(table, table % 2, index.astype(np.float32), index.astype(np.int32), index, size, size)
    parts = parse_devices(devices="cpu:0,cpu:1").split(batch)
    assert [ctx for _, ctx in parts] == [mx.cpu(0), mx.cpu(1)]
    assert abs(len(parts[0][0].label) - len(parts[1][0].label)) <= 1
    for i, whole in enumerate(batch[:5]):
        together = np.concatenate([part[i] for part, _ in parts])
        assert together.dtype == whole.dtype and (together == whole).all()


# Devices of a rank ---------------------------------------------------------------------------------------------------


def _cpus(*numbers):
    return Devices([mx.cpu(number) for number in numbers])


@pytest.mark.parametrize("num_ranks, shares", [(1, [[4, 5, 6, 7]]), (2, [[4, 5], [6, 7]]), (4, [[4], [5], [6], [7]])])
def test_ranks_share_the_devices_evenly(num_ranks, shares):
    ours = [_cpus(4, 5, 6, 7).of_rank(rank, num_ranks).contexts for rank in range(num_ranks)]
    assert ours == [[mx.cpu(number) for number in share] for share in shares]


def test_one_cpu_serves_every_rank():
    assert [parse_devices().of_rank(rank, 3).contexts for rank in range(3)] == [[mx.cpu(0)]] * 3


def test_several_cpus_are_shared_like_other_devices():
    devices = parse_devices(devices="cpu:0,cpu:1")
    assert [devices.of_rank(rank, 2).contexts for rank in range(2)] == [[mx.cpu(0)], [mx.cpu(1)]]


@pytest.mark.parametrize("place, device", [(0, "gpu:3"), (1, "gpu:1")])
def test_a_rank_of_a_script_has_the_gpu_of_its_place_on_the_machine(monkeypatch, place, device):
    monkeypatch.setattr(places, "_place_given", (place, 2))
    assert str(parse_devices(gpus="3,1").of_place()) == device


def test_a_rank_of_a_script_without_a_gpu_of_its_own_is_refused(monkeypatch):
    monkeypatch.setattr(places, "_place_given", (1, 2))
    with pytest.raises(UsageError, match="there is none for rank 1 among gpu:3"):
        parse_devices(gpus="3").of_place()


def test_one_cpu_serves_every_rank_of_a_script(monkeypatch):
    monkeypatch.setattr(places, "_place_given", (1, 2))
    assert str(parse_devices(engine="xla").of_place()) == "cpu:0"


@pytest.mark.parametrize("numbers, num_ranks", [((0, 1, 2), 2), ((0, 1), 4)])
def test_devices_that_cannot_be_shared_evenly_are_refused(numbers, num_ranks):
    with pytest.raises(UsageError, match=f"{len(numbers)} device.* among {num_ranks} ranks: cpu:0"):
        _cpus(*numbers).of_rank(0, num_ranks)


# A rank's place ------------------------------------------------------------------------------------------------------


@pytest.fixture
def environment(monkeypatch):
    """Sets the variables of a rank, after taking out those there are."""
    names = {places.RANK, places.COORDINATOR, *places.STAND_INS, *places.STAND_INS[places.NUMBER]}
    for name in ("DMLC_ROLE", "DMLC_WORKER_ID", "DMLC_NUM_WORKER", *names):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(places, "_place_given", None)
    for prefix in ("HOROVOD", "OMPI_COMM_WORLD", "MPI"):
        for name in ("RANK", "SIZE", "LOCAL_RANK", "LOCAL_SIZE"):
            monkeypatch.delenv(f"{prefix}_{name}", raising=False)

    def set_variables(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, str(value))

    return set_variables


@pytest.mark.parametrize(
    "variables, backend, rank, place",
    [
        ({}, None, 0, (0, 1)),
        ({"DMLC_ROLE": "worker", places.RANK: 2, "DMLC_NUM_WORKER": 4}, "dist_sync", 2, (2, 4)),
        ({"DMLC_ROLE": "worker", "DMLC_NUM_WORKER": 4}, "dist_sync", None, (0, 1)),
        ({"DMLC_ROLE": "server", "DMLC_NUM_WORKER": 4}, None, 0, (0, 1)),
        (
            {"HOROVOD_RANK": 5, "HOROVOD_SIZE": 8, "HOROVOD_LOCAL_RANK": 1, "HOROVOD_LOCAL_SIZE": 4},
            "horovod",
            5,
            (1, 4),
        ),
        (
            {"OMPI_COMM_WORLD_RANK": 3, "OMPI_COMM_WORLD_LOCAL_RANK": 1, "OMPI_COMM_WORLD_LOCAL_SIZE": 2},
            "horovod",
            3,
            (1, 2),
        ),
        ({"PMI_RANK": 3, "MPI_LOCAL_RANK": 1, "MPI_LOCAL_SIZE": 2}, "horovod", 3, (1, 2)),
        ({places.COORDINATOR: "a:1", places.NUM_RANKS: 4, places.NUMBER: 2, places.RANK: 2}, "jax", 2, (2, 4)),
        ({places.COORDINATOR: "a:1", places.NUM_RANKS: 4, places.NUMBER: 2}, "jax", 2, (0, 1)),
        ({places.COORDINATOR: "a:1", "SLURM_PROCID": 3}, "jax", 3, (0, 1)),
        ({places.COORDINATOR: "a:1"}, "jax", None, (0, 1)),
        ({places.COORDINATOR: "a:1", "HOROVOD_RANK": 1}, "horovod", 1, (0, 1)),
        ({"SLURM_PROCID": 3}, None, 0, (0, 1)),
    ],
)
def test_a_rank_learns_its_place_from_its_launcher(environment, variables, backend, rank, place):
    environment(**variables)
    assert (places.launched_backend(), places.known_rank(), places.place_on_machine()) == (backend, rank, place)


def test_ranks_that_have_met_know_their_place_on_the_machine(environment):
    environment(**{places.COORDINATOR: "a:1", places.NUM_RANKS: 4, places.NUMBER: 3})
    places.take_place((1, 2))
    assert places.place_on_machine() == (1, 2)


def test_the_backend_is_jax_where_ranks_compute_through_xla():
    assert [places.default_backend(uses_xla) for uses_xla in (False, True)] == ["dist_sync", "jax"]


@pytest.mark.parametrize("backend", places.BACKENDS)
@pytest.mark.parametrize("variables", [{}, {"DMLC_ROLE": "scheduler"}])
def test_a_process_that_was_not_launched_as_a_rank_meets_nobody(environment, backend, variables):
    environment(**variables)
    with pytest.raises(UsageError, match=f"--comm {backend}: this process was not launched as a rank; add --np"):
        join_ranks(backend)


@pytest.mark.parametrize(
    "variables, backend",
    [({"DMLC_ROLE": "worker"}, "horovod"), ({"HOROVOD_RANK": 0}, "dist_sync"), ({"DMLC_ROLE": "worker"}, "jax")],
)
def test_ranks_meet_by_the_backend_that_started_them(environment, variables, backend):
    environment(**variables)
    with pytest.raises(UsageError, match=f"--comm {backend}: this process was not launched"):
        join_ranks(backend)


# What ranks say to each other ----------------------------------------------------------------------------------------

_VALUES = [
    np.array([0.1, -1e300, np.inf, 5e-324]),
    np.array([[2**62 + 1, -1], [0, 7]]),
    np.array([1 / 3, 1e-45, -0.0], np.float32),
    np.array([True, False, True]),
    np.array(3.25),
    np.array(["a", "bcd"]),
    np.zeros((2, 0)),
]


@pytest.fixture
def alone():
    ranks = join_ranks(None)
    assert (ranks.rank, ranks.num_ranks) == (0, 1)
    return ranks


@pytest.mark.parametrize("values", _VALUES, ids=str)
def test_who_is_alone_gathers_its_own(alone, values):
    gathered = alone.gather(values)
    assert gathered.dtype == values.dtype and gathered.shape == (1, *values.shape)
    assert gathered.tobytes() == values.tobytes()


def test_who_is_alone_changes_nothing(alone):
    array = mx.nd.array([1, 2, 3])
    alone.sum("array", array)
    alone.reduce([[array]])
    parameter = mx.gluon.Parameter("weight", shape=(3,), init="ones")
    parameter.initialize()
    alone.share([parameter])
    assert array.asnumpy().tolist() == [1, 2, 3] and parameter.data().asnumpy().tolist() == [1, 1, 1]
    assert alone.add_up("figures", [1.5, 2]).tolist() == [1.5, 2]
    alone.connect([])
    alone.wait()
    alone.close()


class _Thread(Ranks):
    """A rank that is a thread."""

    def __init__(self, rank, num_ranks, barrier, said):
        self.rank, self.num_ranks = rank, num_ranks
        self._barrier, self._said = barrier, said

    def sum(self, name, array, priority=0):
        self._said[self.rank] = name, array.asnumpy()
        self._barrier.wait(600)
        names, arrays = zip(*self._said)
        self._barrier.wait(600)
        assert len(set(names)) == 1 and len({(part.shape, part.dtype) for part in arrays}) == 1
        array[:] = mx.nd.array(sum(arrays[1:], arrays[0]), dtype=array.dtype)


def _together(call, num_ranks=2):
    """What `call` of each rank returns."""
    barrier, said, results = threading.Barrier(num_ranks), [None] * num_ranks, [None] * num_ranks

    def run(rank):
        try:
            results[rank] = call(_Thread(rank, num_ranks, barrier, said))
        except BaseException as error:
            results[rank] = error
            barrier.abort()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(num_ranks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    errors = [result for result in results if isinstance(result, BaseException)]
    for error in sorted(errors, key=lambda error: isinstance(error, threading.BrokenBarrierError)):
        raise error
    return results


@pytest.mark.parametrize("num_ranks", [2, 3])
@pytest.mark.parametrize("values", [values for values in _VALUES if values.size], ids=str)
def test_ranks_gather_to_the_letter(values, num_ranks):
    def own(rank):
        return np.roll(values, rank) if rank < 2 else np.zeros_like(values)

    expected = np.stack([own(rank) for rank in range(num_ranks)])
    for gathered in _together(lambda ranks: ranks.gather(own(ranks.rank)), num_ranks):
        assert gathered.dtype == values.dtype and gathered.shape == expected.shape
        assert gathered.tobytes() == expected.tobytes()


def test_ranks_gather_nothing():
    for gathered in _together(lambda ranks: ranks.gather(np.zeros((2, 0), np.int32))):
        assert gathered.shape == (2, 2, 0) and gathered.dtype == np.int32


def test_ranks_gather_lists_and_numbers():
    for gathered in _together(lambda ranks: ranks.gather([ranks.rank, 10])):
        assert gathered.tolist() == [[0, 10], [1, 10]]
    for gathered in _together(lambda ranks: ranks.gather(ranks.rank + 0.5)):
        assert gathered.tolist() == [0.5, 1.5]


def test_ranks_add_up_figures():
    for total in _together(lambda ranks: ranks.add_up("figures", np.array([1, 2 + ranks.rank]))):
        assert total.tolist() == [2, 5] and total.dtype == np.float32


def test_ranks_average_gradients_on_all_devices():
    def average(ranks):
        gradients = [
            [mx.nd.array(values, mx.cpu(i)) for i in range(2)]
            for values in (np.arange(6).reshape(2, 3) + ranks.rank, [4.0 * ranks.rank])
        ]
        ranks.reduce(gradients)
        return [[copy.asnumpy().tolist() for copy in copies] for copies in gradients]

    for averages in _together(average):
        assert averages == [[[[0.5, 1.5, 2.5], [3.5, 4.5, 5.5]]] * 2, [[2.0]] * 2]


@pytest.mark.parametrize("num_rows", [0, 3, 700, 9000])
def test_ranks_average_large_tables_whatever_rows_are_in_use(num_rows):
    random = np.random.default_rng(0)
    tables = np.zeros((2, 9000, 3), np.float32)
    for table in tables:
        rows = random.choice(9000, num_rows, replace=False)
        table[rows] = random.integers(-5, 5, (num_rows, 3))

    def average(ranks):
        gradient = mx.nd.array(tables[ranks.rank])
        ranks.reduce([[gradient]])
        return gradient.asnumpy()

    for table in _together(average):
        assert (table == tables.mean(axis=0)).all()


def test_ranks_share_what_rank_0_has_on_all_devices():
    def share(ranks):
        parameters = [mx.gluon.Parameter(name, shape=(2, 2)) for name in ("weight", "bias")]
        for i, parameter in enumerate(parameters):
            parameter.initialize(mx.init.Constant(1 + i + 10 * ranks.rank), ctx=[mx.cpu(0), mx.cpu(1)])
        ranks.share(iter(parameters))
        return [copy.asnumpy().ravel().tolist() for parameter in parameters for copy in parameter.list_data()]

    for values in _together(share):
        assert values == [[1] * 4] * 2 + [[2] * 4] * 2


def test_ranks_wait_for_each_other():
    here = []

    def wait(ranks):
        here.append(ranks.rank)
        ranks.wait()
        return len(here)

    assert _together(wait, 3) == [3, 3, 3]
