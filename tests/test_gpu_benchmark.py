"""The arithmetic and the tables of the GPU benchmark; tests/integration/test_gpu_benchmark.py runs it as a whole."""

import importlib
import json
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest

from gluonnlp_snli_plugin import PluginError, import_bert
from gluonnlp_snli_plugin.cli import make_parser

BENCHMARK = Path(__file__).parents[1] / "scripts" / "benchmark"


@pytest.fixture
def load(monkeypatch):
    """Imports a module of the benchmark."""
    monkeypatch.syspath_prepend(str(BENCHMARK))
    return importlib.import_module


@pytest.fixture
def gpu(load, monkeypatch):
    """The program itself; it does not ask JAX for its device, which takes a process."""
    program = load("gpu")
    monkeypatch.setattr(program, "_cuda", lambda setup: "cpu")
    return program


# The card ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, dtype, teraflops",
    [
        ("NVIDIA H100 80GB HBM3", "bfloat16", 989),
        ("NVIDIA H100 PCIe", "bfloat16", 756),
        ("NVIDIA H200", "float32", 67),
        ("NVIDIA A100-SXM4-80GB", "tfloat32", 156),
        ("NVIDIA B200", "bfloat16", 2250),
        ("NVIDIA L4", "bfloat16", 121),
        ("NVIDIA L40S", "bfloat16", 362),
        ("Tesla T4", "float16", 65),
        ("Tesla V100-PCIE-16GB", "float16", 112),
        ("Tesla V100-SXM2-32GB", "float16", 125),
    ],
)
def test_the_peak_is_that_of_the_card_and_the_precision(load, name, dtype, teraflops):
    assert load("lib.cards").peak(name, dtype) == teraflops * 1e12


@pytest.mark.parametrize("name, dtype", [("Tesla T4", "bfloat16"), ("NVIDIA L40", "bfloat16"), ("CPU", "float32")])
def test_an_unknown_card_or_precision_has_no_peak_and_no_share_of_it(load, name, dtype):
    assert load("lib.cards").peak(name, dtype) is None
    assert load("lib.cards").share_of_peak(name, dtype, 1e9, 1000) is None


@pytest.mark.parametrize("length", [1, 28, 128])
def test_training_costs_six_operations_a_weight_and_token_and_those_of_attention(load, length):
    layers, units, hidden = 12, 768, 3072
    weights_of_layer = 4 * units * units + 2 * units * hidden
    attention = 2 * 2 * length * length * units  # two products of a multiplication and an addition, all heads together
    forward = load("lib.machine").flops_of_pair(length, layers, units, hidden)
    assert 3 * forward == layers * (6 * weights_of_layer * length + 3 * attention)


def test_the_share_of_the_peak_is_the_work_done_over_the_work_possible(load):
    forward = load("lib.machine").flops_of_pair(28, 12, 768, 3072)
    share = load("lib.cards").share_of_peak("NVIDIA H200", "bfloat16", forward, 9090)
    assert share == pytest.approx(3 * 12 * (14155776 * 28 + 4 * 28**2 * 768) * 9090 / 989e12)
    assert 0.13 < share < 0.14


def test_cards_are_those_that_the_driver_lists(load, monkeypatch, tmp_path):
    program = tmp_path / "nvidia-smi"
    program.write_text(
        "#!/bin/sh\necho 'NVIDIA H200, 580.65.06, 9.0, 143771 MiB'\necho 'Tesla T4, 580.65.06, 7.5, 15360 MiB'\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    first, second = load("lib.cards").cards()
    assert first == ("NVIDIA H200", "580.65.06", "9.0", "143771 MiB")
    assert (second.name, second.capability) == ("Tesla T4", "7.5")


def test_where_there_is_no_nvidia_smi_jax_is_asked(load, monkeypatch, tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 'NVIDIA H100 80GB HBM3, 9.0'\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    assert load("lib.cards").cards_of_jax() == [("NVIDIA H100 80GB HBM3", "unknown", "9.0", "unknown")]


@pytest.mark.parametrize("script", [None, "#!/bin/sh\necho 'NVIDIA-SMI has failed'\nexit 9\n"])
def test_there_are_no_cards_without_a_working_driver(load, monkeypatch, tmp_path, script):
    if script:
        (tmp_path / "nvidia-smi").write_text(script)
        (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert load("lib.cards").cards() == []


# Weights and pairs ---------------------------------------------------------------------------------------------------


def test_a_random_bert_is_a_checkpoint_of_its_shape(load, tiny_bert, tmp_path):
    folder = load("lib.random_bert").write_random_bert(tmp_path / "random", tiny_bert, 3, 24, 2)
    imported = import_bert(folder, name="random_uncased", root=tmp_path / "models")
    assert imported.backbone == "bert_3_24_2"
    assert (folder / "vocab.txt").read_bytes() == (tiny_bert / "vocab.txt").read_bytes()


def test_pairs_are_the_two_files_of_the_folder(load, tmp_path):
    files = load("lib.gpu_setup")._pair_files
    assert files(None, True) == (None, None)
    for name in ("mini_train.jsonl", "mini_dev.jsonl"):
        (tmp_path / name).write_text("")
    assert files(str(tmp_path), True) == (str(tmp_path / "mini_train.jsonl"), str(tmp_path / "mini_dev.jsonl"))
    (tmp_path / "other_dev.jsonl").write_text("")
    with pytest.raises(PluginError, match="must have one file"):
        files(str(tmp_path), False)


# GluonNLP's script ---------------------------------------------------------------------------------------------------


@pytest.fixture
def stopwatch(load, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARK / "contenders"))
    return load("stopwatch").Stopwatch()


class Loop:
    """What a script calls; each call takes a hundredth of a second itself."""

    def __iter__(self):
        for number in range(3):
            time.sleep(0.01)
            yield number

    def forward(self):
        time.sleep(0.01)
        return "logits"

    def clip(self):
        time.sleep(0.01)
        return self.forward()


def test_the_seconds_of_a_loop_are_those_of_its_parts_each_counted_once(stopwatch):
    class Timed(Loop):
        pass

    stopwatch.time_iteration("loader", Timed)
    stopwatch.time_calls("forward", Timed, "forward")
    stopwatch.time_calls("clipping", Timed, "clip")
    begin = time.perf_counter()
    assert [(Timed().forward(), number) for number in Timed()] == [("logits", number) for number in range(3)]
    assert Timed().clip() == "logits"
    whole = time.perf_counter() - begin
    taken = stopwatch.take()
    assert set(taken) == {"loader", "forward", "clipping"}
    assert taken["loader"] >= 0.03 and taken["forward"] >= 0.03 and taken["clipping"] >= 0.02
    assert sum(taken.values()) <= whole
    assert stopwatch.take() == {}


def test_a_part_that_fails_is_timed_and_the_next_one_too(stopwatch):
    class Broken:
        def forward(self):
            raise ZeroDivisionError

    stopwatch.time_calls("forward", Broken, "forward")
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            Broken().forward()
    assert set(stopwatch.take()) == {"forward"}
    assert not stopwatch.take()


@pytest.mark.parametrize("has_checkout", [False, True])
@pytest.mark.parametrize("settings", [{}, {"gpus": "0"}, {"engine": "xla", "devices": "cpu:0"}])
def test_the_script_is_that_of_the_checkout_or_one_like_it(load, monkeypatch, tmp_path, has_checkout, settings):
    own = Path(__file__).parent / "integration" / "finetune_script.py"
    path = tmp_path / "scripts" / "bert" / "finetune_classifier.py" if has_checkout else own
    if has_checkout:
        monkeypatch.setenv("GLUONNLP_SCRIPTS", str(tmp_path))
    else:
        monkeypatch.delenv("GLUONNLP_SCRIPTS", raising=False)
    given = load("lib.gpu_scripts").arguments("bfloat16", settings)
    parsed = make_parser().parse_args(given)
    assert parsed.script == str(path)
    assert {name: getattr(parsed, name) for name in settings} == settings
    assert parsed.no_native == (not settings)
    its_own = parsed.arguments_of_script
    assert its_own[its_own.index("--dtype") + 1] == "float16"
    assert ("--shuffle" in its_own) != has_checkout


def test_parts_that_are_not_timed_are_the_rest_of_an_update(load):
    scripts, speed = load("lib.gpu_scripts"), load("lib.gpu_speed")
    program = speed.Program("script", "gluonnlp_xla.py", {})
    setup = types.SimpleNamespace(sizes=types.SimpleNamespace(batch_sizes=(32,)))
    mine = speed.Speed(train=3000.0, update={"whole": 0.010, "forward": 0.006, "clipping": 0.001})
    row = scripts._row(setup, "MiniLM", program, mine, speed.Speed(train=1000.0))
    assert row["ratio"] == 3
    assert {name: row[name] for name in ("whole", "forward", "clipping", "loader", "rest")} == pytest.approx(
        {"whole": 10, "forward": 6, "clipping": 1, "loader": 0, "rest": 3}
    )
    failed = scripts._row(setup, "MiniLM", program, speed.Speed(reason="not measured"), speed.Speed(train=1000.0))
    assert failed == {"net": "MiniLM", "batch_size": 32, "program": "script", "train": None, "reason": "not measured"}


def test_an_update_is_that_of_the_round_of_the_median(load):
    def turn(seconds):
        return {"train": {"steps": 2, "seconds": seconds, "pairs": 64, "parts": {"forward": seconds / 2}}}

    update = load("lib.gpu_speed")._update
    assert update([turn(3.0), turn(1.0), turn(2.0)]) == {"whole": 1.0, "forward": 0.5}
    assert update([{"train": {"steps": 2, "seconds": 1.0, "pairs": 64, "parts": {}}}]) == {}


def test_other_numbers_than_mxnets_are_a_difference(load):
    difference = load("lib.gpu_scripts")._difference
    first, second = np.array([1.0, -4.0]), np.array([0.5])
    assert difference([first, second], [first, second]) == 0
    assert difference([first, second + 0.02], [first, second]) == pytest.approx(0.005)


# Failures become rows ------------------------------------------------------------------------------------------------


def test_a_row_without_figures_says_why(gpu):
    rows = [
        {"net": "MiniLM", "batch_size": 32, "program": "this project", "train": 14000.4, "share": 0.043, "reason": ""},
        {"net": "MiniLM", "batch_size": 32, "program": "Trainer", "train": None, "reason": "torch: not\ninstalled"},
    ]
    assert gpu.rows_as_table("speed", rows).splitlines() == [
        "| BERT | batch | program | train, pairs/s | of the card's peak | remark |",
        "| --- | --- | --- | --- | --- | --- |",
        "| MiniLM | 32 | this project | 14000 | 4.3% |  |",
        "| MiniLM | 32 | Trainer | - | - | torch: not installed |",
    ]


def test_a_part_that_fails_does_not_end_the_others(gpu, monkeypatch, capsys, tmp_path):
    def broken(setup, deadline):
        raise ZeroDivisionError("of no use")

    parts = {
        "checks": (1, lambda setup, deadline: [{"check": "equal", "result": "passed", "difference": 0.0}]),
        "speed": (2, broken),
        "scripts": (2, lambda setup, deadline: [{"net": "MiniLM", "program": "script", "train": 3000, "whole": 10.5}]),
        "runs": (3, lambda setup, deadline: [{"run": "cold", "seconds": 12.34}]),
        "variants": (4, broken),
    }
    monkeypatch.setattr(gpu, "_PARTS", parts)
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--tiny", "--json", str(tmp_path / "all.json")])
    assert gpu.main() == 0
    text = capsys.readouterr().out
    assert "| equal | passed | 0.0e+00 |" in text
    assert "| all | ZeroDivisionError: of no use |" in text
    assert "| MiniLM | script | 3000 |" in text
    assert "| MiniLM | script | 10.50 |" in text
    assert "| cold | 12.3 |" in text
    assert "The parts took: `checks` 0 s, `speed` 0 s, `scripts` 0 s, `runs` 0 s, `variants` 0 s." in text
    assert json.loads((tmp_path / "all.json").read_text())["runs"] == [{"run": "cold", "seconds": 12.34}]


@pytest.mark.parametrize("result, status", [("passed", 0), ("failed", 1), ("not checked", 1)])
def test_the_exit_status_is_that_of_the_checks(gpu, monkeypatch, result, status):
    parts = {"checks": (1, lambda setup, deadline: [{"check": "equal", "result": result, "reason": "?"}])}
    monkeypatch.setattr(gpu, "_PARTS", parts)
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--tiny", "--parts", "checks"])
    assert gpu.main() == status


def test_time_that_is_up_is_told(load):
    setup = load("lib.gpu_setup")
    assert 9 < setup.Deadline(10).left() <= 10
    with pytest.raises(PluginError, match="the time for it was up"):
        setup.Deadline(0).left()


def test_a_contender_that_does_not_answer_is_killed(load, monkeypatch, tmp_path):
    race = load("lib.race")
    (tmp_path / "silent.py").write_text("import time; time.sleep(600)\n")
    monkeypatch.setattr(race, "FOLDER", tmp_path)
    with pytest.raises(PluginError, match="silent has not answered within 1 seconds"):
        race.Contender("silent", sys.executable, "silent.py", {}, {}, timeout=1)


@pytest.mark.parametrize(
    "error, shown",
    [
        (
            "this project failed (exit status 1): Traceback | line 3 | OSError: no",
            "this project failed (exit status 1): OSError: no",
        ),
        ("torch: not installed", "torch: not installed"),
    ],
)
def test_of_a_programs_last_lines_the_very_last_is_shown(load, error, shown):
    assert load("lib.gpu_speed").in_short(PluginError(error)) == shown


def test_without_a_gpu_one_line_says_so(gpu, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--output", str(tmp_path / "page.md")])
    assert gpu.main() == 1
    assert "error: no NVIDIA GPU here" in capsys.readouterr().err
    assert not (tmp_path / "page.md").exists()
