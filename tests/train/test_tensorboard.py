"""Scalars for TensorBoard: what its own rules make of the files."""

import struct
import sys

import pytest

from gluonnlp_snli_plugin import finetune
from gluonnlp_snli_plugin.errors import Stopped, UsageError
from gluonnlp_snli_plugin.train.tensorboard import Scalars


def read(folder):
    """Values by (tag, step), as TensorBoard shows them: a session replaces what there was from its first step on."""
    from tensorboardX.proto import event_pb2

    values = {}
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        while content:  # records: length, its checksum, an event, its checksum
            (size,) = struct.unpack_from("<Q", content)
            event = event_pb2.Event.FromString(content[12 : 12 + size])
            content = content[16 + size :]
            if event.HasField("session_log") and event.session_log.status == event_pb2.SessionLog.START:
                values = {(tag, step): value for (tag, step), value in values.items() if step < event.step}
            for value in event.summary.value:
                assert (value.tag, event.step) not in values
                values[value.tag, event.step] = value.simple_value
    return values


def test_scalars_are_named_by_kind_and_figure(tmp_path):
    scalars = Scalars(tmp_path / "tensorboard")
    assert not (tmp_path / "tensorboard").exists()
    scalars.add("train", 50, {"loss": 1.5, "lr": 1e-5})
    scalars.add("dev", 50, {"accuracy": 0.5})
    found = read(tmp_path / "tensorboard")  # there at once
    scalars.close()
    assert found == pytest.approx({("train/loss", 50): 1.5, ("train/lr", 50): 1e-5, ("dev/accuracy", 50): 0.5})


def test_a_resumed_run_shows_every_update_once(tiny_name, pairs_file, tmp_path):
    settings = {"dataset_name": tiny_name, "train_file": str(pairs_file), "dev_file": str(pairs_file), "max_len": 32}
    settings.update(epochs=2, batch_size=20, lr=3e-3, log_steps=2, eval_steps=3, tensorboard=True, checkpoint_steps=5)
    out = str(tmp_path / "out")
    finetune(**settings, output_dir=str(tmp_path / "whole"))
    with pytest.raises(Stopped):
        finetune(**settings, output_dir=out, max_seconds=1e-9)
    with pytest.raises(Stopped):
        finetune(resume=out, max_seconds=1e-9)
    finetune(resume=out, max_seconds=0)
    expected, found = (read(tmp_path / name / "tensorboard") for name in ("whole", "out"))
    assert set(found) == set(expected) and ("dev/loss", 12) in found
    timeless = [key for key in expected if key[0] != "train/pairs_per_second"]
    assert {key: found[key] for key in timeless} == {key: expected[key] for key in timeless}


def test_updates_that_a_killed_run_had_been_through_are_replaced(tmp_path):
    for first, last in ((1, 8), (6, 10)):  # it died after 8, its last checkpoint was that of 5
        scalars = Scalars(tmp_path)
        for update in range(first, last + 1):
            scalars.add("train", update, {"loss": 1 / update})
        scalars.close()
    assert read(tmp_path) == pytest.approx({("train/loss", update): 1 / update for update in range(1, 11)})


def test_a_missing_extra_is_told_before_anything_else(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(UsageError, match=r"pip install 'gluonnlp-snli-plugin\[tensorboard\]'"):
        finetune(sample=True, tensorboard=True, output_dir=str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
