"""Settings of pretraining that make no sense are refused, each in one line that names the option."""

import pytest

from gluonnlp_snli_plugin.errors import UsageError
from gluonnlp_snli_plugin.train.settings.pretrain_config import PretrainConfig

SOUND = {"name": "mine_uncased", "vocab": "v.txt", "corpus": ("a.txt", "b.txt"), "steps": 10}


def test_where_the_output_goes_follows_from_the_name():
    assert PretrainConfig.of(**SOUND).output_dir == "out/mine_uncased"
    assert PretrainConfig.of(**SOUND, output_dir="x").output_dir == "x"


def test_the_command_line_says_what_was_given_and_no_more():
    config = PretrainConfig.of(**SOUND, lr=1e-3)
    words = (
        "gluonnlp-snli pretrain --name mine_uncased --corpus a.txt b.txt --vocab v.txt --steps 10 --lr 0.001".split()
    )
    assert sorted(config.command_line()) == sorted(words)
    assert config.command_line()[:2] == words[:2]


@pytest.mark.parametrize(
    "options, complaint",
    [
        ({"name": ""}, "--name is missing"),
        ({"name": "mine"}, "--name 'mine' must end in _cased or _uncased"),
        ({"name": "book_corpus_wiki_en_uncased"}, "a name of GluonNLP's own"),
        ({"corpus": ()}, "--corpus is missing"),
        ({"corpus": ("a\0b",)}, "--corpus holds a NUL"),
        ({"corpus_format": "pdf"}, "--corpus-format is 'pdf'"),
        ({"vocab": None}, "--vocab is missing: make one with gluonnlp-snli train-vocab"),
        ({"vocab": "theirs_cased"}, "theirs_cased and --name mine_uncased disagree about the case"),
        ({"vocab": None, "init_from": "theirs_cased"}, "disagree about the case"),
        ({"vocab": None, "init_from": "theirs_uncased", "init": "bert"}, "--init bert is for random weights"),
        ({"init": "none"}, "--init is 'none'; it can be width, bert"),
        ({"steps": 0}, "--steps is 0; it must be at least 1"),
        ({"mask_ratio": 0.0}, "--mask-ratio is 0.0"),
        ({"mask_ratio": 1.0}, "--mask-ratio is 1.0"),
        ({"short_seq_prob": 1.5}, "--short-seq-prob is 1.5"),
        ({"held_out_ratio": 1.0}, "--held-out-ratio is 1.0"),
        ({"held_out_ratio": 0.0}, "give --dev-corpus to evaluate on"),
        ({"max_len": 4}, "--max-len is 4"),
        ({"epochs": 3}, "unknown setting epochs"),
    ],
)
def test_each_mistake_is_named(options, complaint):
    with pytest.raises(UsageError, match=complaint) as refused:
        PretrainConfig.of(**{**SOUND, **options})
    assert "\n" not in str(refused.value)
