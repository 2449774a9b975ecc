"""What a script on a rank may be, and what it may not."""

import tempfile

import mxnet as mx
import numpy as np
import pytest

from gluonnlp_snli_plugin import registry
from gluonnlp_snli_plugin.cli import main
from gluonnlp_snli_plugin.errors import UsageError
from gluonnlp_snli_plugin.host.ranks import RankedScript, shard
from gluonnlp_snli_plugin.host.script import Script
from gluonnlp_snli_plugin.parallel import backends
from gluonnlp_snli_plugin.parallel.place import HAS_SAID_WHY
from gluonnlp_snli_plugin.parallel.ranks import Ranks
from gluonnlp_snli_plugin.system.follow import LAUNCHER


@pytest.fixture
def rank(monkeypatch):
    """This process is a rank that its launcher started, and has no company."""
    monkeypatch.setenv(LAUNCHER, "1:1")
    monkeypatch.setattr(backends, "join_ranks", lambda backend: Ranks())


def test_a_script_without_a_trainer_is_refused(rank, tmp_path, capfd):
    script = tmp_path / "script.py"
    script.write_text("print('no training here')\n")
    assert main(["run", "--comm", "dist_sync", str(script)]) == HAS_SAID_WHY
    output, errors = capfd.readouterr()
    assert output == "no training here\n"
    assert errors.endswith("makes no gluon.Trainer: there is nothing to train on several ranks\n")
    assert errors.count("\n") == 1


_CUTS_A_PAIR = """
import gluonnlp as nlp, mxnet as mx
transform = nlp.data.BERTSentenceTransform(str.split, 8, nlp.vocab.BERTVocab(nlp.data.count_tokens("abc")), pair=True)
for pair in (("a b", "c"), ("a b c a b c", "a b")):
    transform(pair)
parameter = mx.gluon.Parameter("weight", shape=(1,))
parameter.initialize()
mx.gluon.Trainer([parameter], "sgd")
"""


def test_the_pairs_that_are_cut_are_counted_on_each_rank(rank, tmp_path, capfd):
    script = tmp_path / "script.py"
    script.write_text(_CUTS_A_PAIR)
    assert main(["run", "--comm", "dist_sync", str(script)]) == 0
    told = capfd.readouterr().err.splitlines()[-1]
    assert told == f"{script}: 1 of 2 pairs (50.0%) of rank 0 were longer than the script's max_len and were cut"


def test_what_is_wrong_with_the_data_is_said_by_the_rank_that_finds_it(rank, pairs_file, tmp_path, capfd):
    (tmp_path / "pairs.jsonl").write_text('{"sentence1": 3}\n')
    files = ["--train-file", tmp_path / "pairs.jsonl", "--dev-file", pairs_file, "--output-dir", tmp_path / "out"]
    settings = ["--vocab", tmp_path / "vocab.txt"]
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"]))
    assert main(["finetune", *map(str, [*settings, "--backbone", "bert_1_8_2", *files])]) == HAS_SAID_WHY
    errors = capfd.readouterr().err
    assert errors.count("\n") == 1 and f"{tmp_path / 'pairs.jsonl'}, line 1" in errors


def test_a_rank_without_a_place_for_temporary_files_says_so(rank, tmp_path, capfd, monkeypatch):
    (tmp_path / "script.py").touch()
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
        assert main(["run", "--comm", "dist_sync", str(tmp_path / "script.py")]) == HAS_SAID_WHY
    said = capfd.readouterr().err
    assert said.startswith("gluonnlp-snli: error: cannot write to the system's folder for temporary files (TMPDIR): ")
    assert said.count("\n") == 1


def test_more_ranks_than_pairs_are_refused():
    ranks = Ranks()
    ranks.num_ranks = 2
    with pytest.raises(UsageError, match="^1 training pairs cannot be divided among 2 ranks$"):
        shard(np.zeros(1), ranks)


@pytest.fixture
def ranked(tmp_path):
    """A script on ranks that communicate through JAX, of which this process is the only one."""
    (tmp_path / "script.py").touch()
    changes = registry.Changes()
    yield RankedScript(Script(tmp_path / "script.py"), "jax", changes, False, tmp_path, joined=Ranks())
    changes.undo()


@pytest.mark.parametrize("store", ["dist_sync", "made", "device", None])
@pytest.mark.parametrize("on_store", [True, False, None])
def test_a_trainer_is_given_any_store(ranked, caplog, store, on_store):
    parameter = mx.gluon.Parameter("weight", shape=(2,), init=mx.init.One())
    parameter.initialize()
    kvstore = mx.kv.create("dist_sync_device") if store == "made" else store
    trainer = mx.gluon.Trainer([parameter], "sgd", {"learning_rate": 0.5}, kvstore, update_on_kvstore=on_store)
    for _ in range(2):
        with mx.autograd.record():
            loss = (parameter.data() * mx.nd.array([1, 2])).sum()
        loss.backward()
        trainer.step(1)
    assert parameter.data().asnumpy().tolist() == [0, -1]
    ranked.finish()
    divides_its_data = store not in ("device", None)
    assert ("each rank sees all of it" in caplog.text) is not divides_its_data
