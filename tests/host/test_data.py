"""GluonNLP's own functions read other files and truncate by other strategies, until it is undone."""

import json

import gluonnlp as nlp
import pytest
from gluonnlp.data import transforms
from gluonnlp.data.bert import glue

from gluonnlp_snli_plugin import registry, store
from gluonnlp_snli_plugin.data import truncation
from gluonnlp_snli_plugin.errors import DataError, UsageError
from gluonnlp_snli_plugin.host.data import (
    read_from,
    read_glue_from,
    require_glue,
    task_of,
    truncate_by,
    use_recorded_tokenizers,
)
from gluonnlp_snli_plugin.system.files import digest
from gluonnlp_snli_plugin.tasks import glue_files
from gluonnlp_snli_plugin.tasks.snli import SNLITask
from gluonnlp_snli_plugin.tasks.task import find_task
from gluonnlp_snli_plugin.text.tokenizer_settings import TokenizerSettings, special_tokens
from gluonnlp_snli_plugin.text.vocabulary import read_sentencepieces, read_wordpieces

STRATEGIES = "equal longest_first only_first only_second ratio".split()


@pytest.fixture
def changes():
    changes = registry.Changes()
    yield changes
    changes.undo()


@pytest.fixture
def pairs(tmp_path):
    """Writes a file of pairs whose premises are the given ones; returns its path."""

    def write(name, *premises):
        path = tmp_path / name
        rows = [{"sentence1": text, "sentence2": "It is so.", "gold_label": "neutral"} for text in premises]
        path.write_text("\n".join(map(json.dumps, rows)))
        return str(path)

    return write


def _premises(dataset):
    return [row[0] for row in dataset]


def test_the_task_and_the_dataset_read_the_files_named(changes, pairs):
    read_from(changes, train=pairs("a.jsonl", "One.", "Two."), dev=pairs("b.jsonl", "Three."), test=None)
    task = nlp.data.get_task("SNLI")
    assert task.dataset_train()[0] == "train" and _premises(task.dataset_train()[1]) == ["One.", "Two."]
    assert task.dataset_dev()[0] == "dev" and _premises(task.dataset_dev()[1]) == ["Three."]
    assert _premises(nlp.data.create("SNLI", segment="train")) == ["One.", "Two."]
    assert _premises(nlp.data.create("SNLI", segment="dev")) == ["Three."]


def test_a_segment_without_a_file_is_empty(changes, pairs):
    read_from(changes, train=pairs("a.jsonl", "One."), dev=pairs("b.jsonl", "Two."))
    assert list(nlp.data.create("SNLI", segment="test")) == []
    assert len(nlp.data.get_task("SNLI").dataset_test()[1]) == 0


def test_the_test_segment_has_a_file_too(changes, pairs):
    read_from(changes, train=None, dev=None, test=pairs("c.jsonl", "One."))
    assert list(nlp.data.get_task("SNLI").dataset_test()[1]) == [["One.", "It is so."]]


def test_the_folder_of_the_official_files_can_be_another(changes, pairs, tmp_path):
    pairs("snli_1.0_dev.jsonl", "Official.")
    read_from(changes, root=str(tmp_path), train=None, dev=None, test=None)
    assert _premises(nlp.data.get_task("SNLI").dataset_dev()[1]) == ["Official."]
    assert _premises(nlp.data.create("SNLI", segment="dev")) == ["Official."]


def test_who_names_a_file_or_a_folder_gets_it(changes, pairs, tmp_path):
    read_from(changes, train=pairs("a.jsonl", "One."), dev=pairs("b.jsonl", "Two."))
    pairs("snli_1.0_dev.jsonl", "Official.")
    assert _premises(nlp.data.create("SNLI", segment="dev", file=pairs("c.jsonl", "Three."))) == ["Three."]
    assert _premises(nlp.data.create("SNLI", segment="dev", root=str(tmp_path))) == ["Official."]


def test_a_file_that_is_missing_is_named(changes, tmp_path):
    read_from(changes, train=f"{tmp_path}/nowhere.jsonl", dev=f"{tmp_path}/nowhere.jsonl")
    with pytest.raises(DataError, match=r"nowhere\.jsonl: No such file"):
        nlp.data.get_task("SNLI").dataset_train()


def test_where_nothing_is_named_nothing_changes(changes):
    before = dict(SNLITask.source)
    read_from(changes, None, train=None, dev=None, test=None)
    assert SNLITask.source == before == {"root": None, "files": None, "columns": None, "labels": None}


def test_afterwards_the_official_files_are_read_again(pairs):
    before = dict(SNLITask.source)
    changes = registry.Changes()
    read_from(changes, root="somewhere", train=pairs("a.jsonl", "One."), dev=None)
    assert before != SNLITask.source
    changes.undo()
    assert before == SNLITask.source


def test_any_task_of_pairs_reads_the_files_named(changes, pairs):
    train, dev = pairs("a.jsonl", "One."), pairs("b.jsonl", "Two.")
    read = read_from(changes, task=find_task("SciTail"), train=train, dev=dev, test=None)
    task = nlp.data.get_task("SciTail")
    assert _premises(task.dataset_train()[1]) == ["One."] and read == {"train"}
    assert _premises(task.dataset_dev()[1]) == ["Two."] and len(task.dataset_test()[1]) == 0


def test_of_several_segments_for_evaluation_the_file_named_is_the_first(changes, pairs):
    files = {use: pairs(f"{use}.jsonl", use) for use in ("train", "dev", "test")}
    read_from(changes, task=find_task("MultiNLI"), **files)
    segment, rows = nlp.data.get_task("MultiNLI").dataset_dev()
    assert (segment, _premises(rows)) == ("dev_matched", ["dev"])
    segment, rows = nlp.data.get_task("MultiNLI").dataset_test()
    assert (segment, _premises(rows)) == ("test", ["test"])


def test_the_task_of_a_script_is_the_one_that_it_is_told():
    assert task_of(["--epochs", "3"]) is task_of(["--task_name", "another"]) is SNLITask
    assert task_of(["--task_name", "hans"]) is find_task("HANS")
    with pytest.raises(UsageError, match=r"told --task_name rte: omit them \(the files of GLUE: --glue-root DIR\)"):
        task_of(["--task_name", "rte"])


def test_glue_is_read_from_the_folder_named(changes, glue_folder, tmp_path):
    read = read_glue_from(changes, glue_folder)
    for name in ("RTE", "MRPC", "STS-B", "CoLA", "SST", "QQP", "QNLI", "WNLI"):
        task = nlp.data.get_task(name)
        assert [len(get()[1]) for get in (task.dataset_train, task.dataset_dev, task.dataset_test)] == [8, 8, 8]
    assert [segment for segment, _ in nlp.data.get_task("MNLI").dataset_test()] == ["test_matched", "test_mismatched"]
    assert str(glue_folder / "SST-2" / "dev.tsv") in read and len(read) == 8 * 3 + 2
    with pytest.raises(DataError, match="RTE/train.tsv is missing"):
        nlp.data.GlueRTE("train", root=str(tmp_path))  # who names a folder gets it


def test_the_folder_named_comes_before_another_host(changes, glue_folder, monkeypatch):
    monkeypatch.setenv("MXNET_GLUON_REPO", "http://127.0.0.1:1/")
    read_glue_from(changes, glue_folder)
    assert len(nlp.data.GlueRTE("train")) == 8


def test_afterwards_glue_is_read_from_its_own_place_again(glue_folder):
    before = glue_files.local_file, dict(glue_files.source)
    changes = registry.Changes()
    read_glue_from(changes, glue_folder)
    changes.undo()
    assert (glue_files.local_file, glue_files.source) == before == (glue_files.local_file, {"root": None})


@pytest.mark.parametrize("name", ["SNLI", "XNLI", "MultiNLI"])
def test_the_folder_of_glue_is_refused_for_other_tasks(glue_folder, name):
    with pytest.raises(
        UsageError, match=f"--glue-root names the folder of .*RTE.*, but .* --task_name {name}: omit it"
    ):
        require_glue(["--epochs", "1", "--task_name", name], glue_folder)


def test_the_training_file_of_glue_is_looked_for_before_anything_starts(glue_folder, tmp_path):
    for arguments in (["--task_name", "sst"], ["--task", "STS-B"], [], ["--task_name", "another"], ["--task_name"]):
        require_glue(arguments, glue_folder)
    with pytest.raises(DataError, match=r"SST-2/train\.tsv is missing: get SST-2 from https"):
        require_glue(["--task_name", "SST"], tmp_path)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("len_a, len_b", [(9, 4), (3, 12), (8, 8), (2, 1), (0, 11)])
def test_gluonnlps_function_truncates_a_pair_by_the_strategy(changes, strategy, len_a, len_b):
    premise, hypothesis = [f"a{i}" for i in range(len_a)], [f"b{i}" for i in range(len_b)]
    keep_a, keep_b = truncation.create(strategy)(len_a, len_b, 7)
    truncate_by(changes, strategy)
    assert glue.truncate_seqs_equal([premise, hypothesis], 7) == [premise[: int(keep_a)], hypothesis[: int(keep_b)]]
    assert (len(premise), len(hypothesis)) == (len_a, len_b)


@pytest.mark.parametrize("sequences", [[list("abcdefghi")], [list("abcde"), list("fg"), list("hijklmn")]])
@pytest.mark.parametrize("max_len", [4, 7, 30])
def test_what_is_no_pair_is_truncated_as_before(changes, sequences, max_len):
    as_before = glue.truncate_seqs_equal(sequences, max_len)
    truncate_by(changes, "only_first")
    assert glue.truncate_seqs_equal(sequences, max_len) == as_before


@pytest.fixture(scope="module")
def tokens_of():
    """The tokens that GluonNLP's transform makes of sentences, at most 9 with the special ones."""
    letters = "abcdefghijklmnop"
    vocab = nlp.vocab.BERTVocab(nlp.data.count_tokens(list(letters)))

    def transformed(*sentences):
        transform = nlp.data.BERTSentenceTransform(
            nlp.data.BERTTokenizer(vocab), 9, vocab, pad=False, pair=len(sentences) == 2
        )
        ids, valid_length, _ = transform(sentences)
        assert len(ids) == valid_length
        text = "".join(vocab.to_tokens(ids.tolist())).replace(vocab.cls_token, "")
        return text.split(vocab.sep_token)[:-1]

    return transformed


@pytest.mark.parametrize(
    "strategy, kept",
    [
        ("longest_first", ["abc", "klm"]),
        ("equal", ["abc", "klm"]),
        ("ratio", ["abcd", "kl"]),
        ("only_first", ["ab", "klmn"]),
        ("only_second", ["abcdef"]),
    ],
)
def test_gluonnlps_transform_truncates_a_pair_by_the_strategy(changes, tokens_of, strategy, kept):
    truncate_by(changes, strategy)
    assert tokens_of("a b c d e f g h", "k l m n") == kept
    assert tokens_of("a b", "k l m") == ["ab", "klm"]


def test_gluonnlps_transform_treats_single_sentences_as_before(changes, tokens_of):
    truncate_by(changes, "only_second")
    assert tokens_of("a b c d e f g h i j") == ["abcdefg"]


def test_afterwards_gluonnlps_own_functions_truncate():
    before = glue.truncate_seqs_equal, transforms.BERTSentenceTransform._truncate_seq_pair
    changes = registry.Changes()
    truncate_by(changes, "ratio")
    assert glue.truncate_seqs_equal is not before[0]
    changes.undo()
    assert (glue.truncate_seqs_equal, transforms.BERTSentenceTransform._truncate_seq_pair) == before


def test_tokenizers_are_those_of_the_store_only_when_told(
    changes, tiny_bert, train_sentencepiece, tmp_path, monkeypatch
):
    vocab = read_wordpieces(tiny_bert / "vocab.txt")
    host = nlp.data.BERTTokenizer
    use_recorded_tokenizers(changes)
    settings = TokenizerSettings("bert", True, False)
    (tmp_path / "vocab").write_text(vocab.to_json())
    entry = store.Vocabulary("mine_uncased", digest(tmp_path / "vocab", "sha1"), tokenizer=settings)
    root = tmp_path / "store"
    root.mkdir()
    store.add_vocabulary(entry, tmp_path / "vocab", root)
    in_store = store.vocabularies(root)
    monkeypatch.setattr(store.lookup, "vocabularies", lambda root=None: in_store)
    assert transforms.BERTTokenizer(vocab, lower=True).settings == settings
    assert nlp.data.BERTTokenizer(vocab, lower=False).settings == TokenizerSettings.bert(False, special_tokens(vocab))
    file = train_sentencepiece(tmp_path / "spiece.model", ["the café is closed"] * 20)
    pieces = nlp.data.BERTSPTokenizer(str(file), read_sentencepieces(file)[0], lower=False)
    assert "".join(pieces("café")) == "▁café"
    changes.undo()
    assert nlp.data.BERTTokenizer is host is transforms.BERTTokenizer
