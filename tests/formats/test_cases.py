"""The small checkpoints beside the repository, modelled on public bug reports: each gives what is right."""

import shutil

import pytest

from gluonnlp_snli_plugin import Predictor, import_bert, store
from gluonnlp_snli_plugin.cli import main
from gluonnlp_snli_plugin.text.tokenizers import bert_tokenizer
from gluonnlp_snli_plugin.text.vocabulary import read_vocabulary

REFUSED = [  # case, name or None for a classifier, what the line says
    ("03_pieces_in_vocab_txt/ckpt", "a_cased", "holds pieces of SentencePiece, such as"),
    ("03_pieces_in_vocab_txt/ckpt", None, "holds pieces of SentencePiece, such as"),
    ("04_japanese_tokenizer/wordpiece", "a_cased", "tokenizer_class is 'BertJapaneseTokenizer'"),
    ("04_japanese_tokenizer/wordpiece", None, "tokenizer_class is 'BertJapaneseTokenizer'"),
    ("05_case_in_tokenizer_json/ckpt", "a_uncased", "tokenizer.json says lowercase=false: --name must end in _cased"),
    ("16_messages/lfs_pointer", "a_uncased", "model.safetensors is a Git LFS pointer"),
    ("16_messages/label_numbers", None, "'label_0', 'label_1', 'label_2': look up what they mean"),
]
READ = [  # case, name, text, its tokens, a warning or None
    ("02_cased_multilingual/ckpt", "a_cased", "한국어를 Йога Café", ["한국어", "##를", "Йога", "Café"], None),
    ("05_case_in_tokenizer_json/ckpt", "a_cased", "Two birds", ["Two", "birds"], None),
    ("06_classifier_tokenizer_settings/ckpt", "a_uncased", "NÉ", ["né"], None),
    ("10_sharded/ckpt", "a_uncased", "two birds", ["two", "birds"], None),
    (
        "11_other_heads/half_a_decoder",
        "a_uncased",
        "two birds",
        ["two", "birds"],
        "left out, besides the encoder: decoder",
    ),
    ("12_vocab_lines/a_token_twice", "a_uncased", "two birds", ["two", "birds"], "'birds' is there again on line 76"),
    ("12_vocab_lines/blank_line_at_the_end", "a_uncased", "two birds", ["two", "birds"], None),
    ("14_added_tokens/ckpt", "a_uncased", "two [NAME]", ["two", "[NAME]"], None),
    ("16_messages/prefix_module", "a_uncased", "two birds", ["two", "birds"], None),
]

CLASSIFIERS = ("02", "05", "06", "14")


@pytest.fixture
def case(shared_data):
    def folder(name):
        if not (shared_data.parent / "cases" / name).is_dir():
            pytest.skip(f"{shared_data.parent / 'cases' / name} is missing")
        return shared_data.parent / "cases" / name

    return folder


def import_classifier(folder, out, *more):
    return main(["import-bert", str(folder), "--output-dir", str(out), *more])


@pytest.mark.parametrize(("name", "given", "told"), REFUSED)
def test_what_would_be_read_wrongly_is_refused_in_one_line(case, tmp_path, capsys, name, given, told):
    if given:
        status = main(["import-bert", str(case(name)), "--name", given, "--root", str(tmp_path)])
    else:
        status = import_classifier(case(name), tmp_path / "out")
    line = capsys.readouterr().err
    assert status in (1, 2) and told in line and line.count("\n") == 1
    assert not list(tmp_path.rglob("*.params"))


@pytest.mark.parametrize(("name", "given", "text", "tokens", "warning"), READ)
def test_what_can_be_read_is_read_with_its_own_tokenizer(case, tmp_path, caplog, name, given, text, tokens, warning):
    import_bert(case(name), given, root=tmp_path)
    vocab, _ = read_vocabulary(store.vocabulary(given, tmp_path))
    assert bert_tokenizer(vocab, store.vocabularies(tmp_path)[given].tokenizer)(text) == tokens
    assert warning is None or warning in caplog.text


@pytest.mark.parametrize(("name", "text", "tokens"), [(row[0], *row[2:4]) for row in READ if row[0][:2] in CLASSIFIERS])
def test_a_classifier_keeps_its_own_tokenizer(case, tmp_path, name, text, tokens):
    assert import_classifier(case(name), tmp_path / "out") == 0
    assert Predictor.load(tmp_path / "out").encoder.tokenizer(text) == tokens


def test_labels_take_spaces_and_any_case_and_no_message_shows_an_order(case, tmp_path, capsys):
    folder = shutil.copytree(str(case("16_messages/label_numbers")), str(tmp_path / "copy"))
    assert import_classifier(folder, tmp_path / "out", "--labels", " Neutral, ENTAILMENT ,contradiction") == 0
    for wrong in ((), ("--labels", "a,b"), ("--labels", "entailment,neutral")):
        assert import_classifier(folder, tmp_path / "other", *wrong) == 2
        line = capsys.readouterr().err
        assert "--labels NAME0,NAME1,... names the classes in the order of the logits" in line
        assert "entailment,contradiction,neutral" not in line.replace(" ", "")
