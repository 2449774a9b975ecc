"""Output folders of runs: config.json, which a run goes on from, and summary.json."""

import dataclasses
import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluonnlp_snli_plugin.errors import UsageError
from gluonnlp_snli_plugin.system.files import write_json
from gluonnlp_snli_plugin.train.output import OutputFolder, versions
from gluonnlp_snli_plugin.train.recovery.record_check import finished, require_unedited
from gluonnlp_snli_plugin.train.recovery.resume import recorded_run, require_same
from gluonnlp_snli_plugin.train.settings.finetune_config import FinetuneConfig

MORE = [1, 2, 0.5, "cpu:0", "mlp", "pooled", "bert_2_16_2", "adam", "equal", "train.jsonl", "/tmp", ["a"], {"a": "b"}]


@pytest.fixture
def record(tmp_path):
    """What a run records of itself."""
    config = FinetuneConfig.of(
        output_dir=str(tmp_path), train_file="a.jsonl", dev_file="b.jsonl", dataset_name="tiny_uncased"
    )
    data = {"source": "a.jsonl", "sha256": "00", "pairs": 3, "rows_without_gold_label": 0}
    return {
        "settings": dataclasses.asdict(config),
        "command": ["gluonnlp-snli", "finetune"],
        "working_folder": "/tmp",
        "devices": "cpu:0",
        "ranks": 1,
        "comm": None,
        "threads": "1",
        "operators": "C++",
        "weights": "00",
        "data": {"train": data, "dev": data},
        "versions": versions(),
    }


@settings.get_profile("fuzz")
@given(data=st.data())
def test_a_run_goes_on_with_its_settings_or_not_at_all(data, damage, lawful, tmp_path, record):
    path = tmp_path / "config.json"
    part = data.draw(st.sampled_from([None, "settings", "data"]))
    content = data.draw(damage.json_bytes(record if part is None else record[part], MORE))
    if part is not None:
        content = (
            json.dumps(record).replace(json.dumps(record[part]), content.decode("latin-1")).encode("latin-1", "ignore")
        )
    path.write_bytes(content)
    found = lawful(lambda: recorded_run(FinetuneConfig, str(tmp_path), keep=5), path)
    if found is None:
        return
    config, now = found
    settings = json.loads(content)["settings"]
    assert config.keep == 5 and config.output_dir == str(tmp_path)
    for field in dataclasses.fields(FinetuneConfig):
        value, expected = getattr(config, field.name), settings.get(field.name, field.default)
        if field.name in ("corpus_root", "vocab") and expected:
            expected = os.path.normpath(os.path.join(now["working_folder"], expected))
            value = os.path.normpath(value)
        if field.name in ("train_file", "dev_file", "test_file"):  # one text in runs that an earlier version began
            files = [expected] if isinstance(expected, str) else expected or []
            expected = tuple(os.path.normpath(os.path.join(now["working_folder"], file)) for file in files if file)
            value = tuple(os.path.normpath(file) for file in value if file)
        if field.name not in ("keep", "output_dir"):
            assert value == expected and type(value) is type(expected)
    lawful(lambda: require_unedited(config, now), path)
    lawful(lambda: require_same(now, record), None)
    lawful(lambda: require_same(now, now), None)


@settings.get_profile("fuzz")
@given(data=st.data())
def test_a_summary_is_one_that_can_be_shown_or_refused(data, damage, lawful, tmp_path):
    path = tmp_path / "summary.json"
    figures = {"dev_accuracy": 0.5, "best_epoch": 1, "train_pairs_per_second": 1.0, "seconds": 2.0, "updates": 3}
    path.write_bytes(data.draw(damage.json_bytes(figures)))
    config = FinetuneConfig.of(output_dir=str(tmp_path))
    summary = lawful(lambda: finished(config), path)
    assert summary is None or all(isinstance(summary[name], (int, float)) for name in figures)


@settings.get_profile("fuzz")
@given(data=st.data())
def test_a_folder_that_is_no_runs_is_never_written_to(data, damage, lawful, tmp_path, record):
    (tmp_path / "config.json").write_bytes(data.draw(damage.json_bytes(record)))
    lawful(lambda: OutputFolder(str(tmp_path), overwrite=False), tmp_path)
    (tmp_path / "letters").write_text("mine")
    with pytest.raises(UsageError):
        OutputFolder(str(tmp_path), overwrite=False)


def test_names_that_can_be_none_are_refused(damage, lawful, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in [*damage.nasty.values(), "a" * 5000]:
        assert lawful(lambda: recorded_run(FinetuneConfig, name), None) is None  # noqa: B023
        config = lawful(lambda: FinetuneConfig.of(output_dir=name, train_file=name, dev_file=name), None)  # noqa: B023
        assert config is None or config.train_file == (name,)
        if config is not None:
            lawful(lambda: OutputFolder(name, overwrite=False), None)  # noqa: B023


def test_settings_of_any_text_are_written_and_read_back(damage, tmp_path):
    path = tmp_path / "config.json"
    for text in damage.nasty.values():
        write_json(path, {"command": [text]})
        assert json.loads(path.read_bytes()) == {"command": [text]}


@settings.get_profile("fuzz")
@given(data=st.data())
def test_settings_are_taken_or_refused(data, damage, lawful):
    names = [field.name for field in dataclasses.fields(FinetuneConfig)]
    field = {field.name: field for field in dataclasses.fields(FinetuneConfig)}
    options = {}
    for name in data.draw(st.lists(st.sampled_from(names), max_size=4)):
        kind = type(field[name].default)
        numbers = st.one_of(st.integers(), st.sampled_from([0, 1, 1 << 31, 1 << 63, 10**4000]))
        floats = st.one_of(st.floats(), st.sampled_from([0.0, 0.5, 1.0]))
        options[name] = data.draw({bool: st.booleans(), int: numbers, float: floats}.get(kind, damage.text()))
    config = lawful(lambda: FinetuneConfig.of(**{"output_dir": "out", **options}), None)
    if config is not None:
        assert {name: getattr(config, name) for name in options} == options
