"""SNLI as a dataset of GluonNLP's, from its official files."""

import pickle

import gluonnlp as nlp
import mxnet as mx
import pytest
from snli_files import ROWS, as_json, as_table

from gluonnlp_snli_plugin.errors import DownloadError, PluginError
from gluonnlp_snli_plugin.tasks.snli import SNLI

# The dataset --------------------------------------------------------------------------------------------------------


@pytest.fixture
def dataset(write):
    return SNLI(file=write("a.jsonl", as_json()))


def test_rows_are_lists_of_premise_hypothesis_and_label(dataset):
    assert isinstance(dataset, mx.gluon.data.Dataset)
    assert len(dataset) == 3
    assert dataset[1] == ["A man sleeps.", "A man runs.", "contradiction"]
    assert type(dataset[1]) is list


def test_a_slice_is_a_list_of_rows(dataset):
    assert dataset[0:2] == ROWS[:2]
    assert dataset[::-1] == ROWS[::-1]
    assert dataset[5:] == []


def test_an_index_counts_from_the_end_too_and_has_bounds(dataset):
    assert dataset[-1] == ROWS[-1]
    for i in (3, -4):
        with pytest.raises(IndexError):
            dataset[i]


def test_gluons_dataset_methods_work(dataset):
    assert list(dataset.transform(lambda row: row[2])) == [row[2] for row in ROWS]
    assert list(dataset.filter(lambda row: row[2] != "neutral")) == ROWS[:2]
    assert list(dataset.take(1)) == ROWS[:1]
    assert [row for rank in range(2) for row in dataset.shard(2, rank)] == ROWS


def test_the_columns_can_be_had_without_the_rows(dataset):
    assert [dataset.premises, dataset.hypotheses, dataset.labels] == [list(column) for column in zip(*ROWS)]


def test_a_dataset_travels_to_another_process(dataset):
    assert list(pickle.loads(pickle.dumps(dataset))) == ROWS


# The official files -------------------------------------------------------------------------------------------------


def test_json_lines_are_preferred_to_the_table(write, tmp_path):
    write("snli_1.0_dev.txt", as_table(ROWS[1:]))
    write("snli_1.0_dev.jsonl", as_json())
    assert list(SNLI("dev", root=tmp_path)) == ROWS


def test_the_table_is_read_where_there_is_nothing_else(write, tmp_path):
    path = write("snli_1.0_test.txt", as_table())
    dataset = SNLI("test", root=str(tmp_path))
    assert list(dataset) == ROWS
    assert dataset.path == path


def test_the_files_may_be_in_the_folder_that_the_archive_unpacks_to(write, tmp_path):
    write("snli_1.0/snli_1.0_train.jsonl", as_json())
    assert list(SNLI(root=tmp_path)) == ROWS


def test_the_default_place_is_in_gluonnlps_home(write, tmp_path, monkeypatch):
    monkeypatch.setenv("MXNET_HOME", str(tmp_path))
    write("datasets/snli/snli_1.0_dev.jsonl", as_json())
    assert list(SNLI("dev")) == ROWS


def test_a_tilde_in_the_folder_is_the_home_of_the_user(write, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write("corpora/snli_1.0_dev.jsonl", as_json())
    assert list(SNLI("dev", root="~/corpora")) == ROWS


def test_where_there_are_no_files_the_official_archive_is_called_for(write, tmp_path):
    write("snli_1.0.zip", "no archive")
    with pytest.raises(DownloadError, match="snli_1.0.zip"):
        SNLI("dev", root=tmp_path)


def test_a_file_by_name_needs_no_folder(write, tmp_path):
    assert list(SNLI("dev", root=tmp_path / "nothing", file=str(write("b.jsonl", as_json())))) == ROWS


@pytest.mark.parametrize("segment", ["validation", "Dev", "", None])
def test_an_unknown_segment_is_an_error_that_lists_the_segments(tmp_path, segment):
    with pytest.raises(PluginError, match="train, dev, test") as info:
        SNLI(segment, root=tmp_path)
    assert repr(segment) in str(info.value)


@pytest.mark.parametrize("name", ["SNLI", "snli"])
def test_gluonnlp_creates_the_dataset_by_name(write, tmp_path, name):
    write("snli_1.0_dev.jsonl", as_json())
    dataset = nlp.data.create(name, segment="dev", root=str(tmp_path))
    assert isinstance(dataset, SNLI)
    assert list(dataset) == ROWS


def test_gluonnlp_lists_the_dataset_with_its_segments():
    assert "snli" in nlp.data.list_datasets()
    assert nlp.data.list_datasets("SNLI") == {"segment": ["train", "dev", "test"]}
