"""A BERT saved by GluonNLP comes into the store as it was, or one line says what is wrong where."""

import re
import shutil

import gluonnlp as nlp
import mxnet as mx
import numpy as np
import pytest
import sentencepiece

from gluonnlp_snli_plugin import import_bert, store
from gluonnlp_snli_plugin.errors import CheckpointError, UsageError
from gluonnlp_snli_plugin.model.classifier import SNLIBertClassifier
from gluonnlp_snli_plugin.text.byte_pairs import byte_characters, byte_pair_vocab

INPUTS = mx.nd.array([[2, 6, 7, 3, 8, 3]]), mx.nd.array([[0, 0, 0, 0, 1, 1]]), mx.nd.array([6])
POSITIONS = mx.nd.array([[1, 4]])
WORDS = "word_embed.0.weight"


@pytest.fixture(scope="module")
def vocab(tiny_bert):
    tokens = (tiny_bert / "vocab.txt").read_text().split()
    return nlp.vocab.BERTVocab(nlp.data.count_tokens(tokens), token_to_idx={token: i for i, token in enumerate(tokens)})


@pytest.fixture(scope="module")
def bert(vocab):
    """What ``run_pretraining.py`` trains: encoder, pooler, decoder and classifier."""
    mx.random.seed(3)
    net, _ = nlp.model.get_model(
        "bert_2_16_2", vocab=vocab, pretrained=False, hidden_size=24, max_length=40, hparam_allow_override=True
    )
    net.initialize(mx.init.Normal(0.1))
    net(*INPUTS, POSITIONS)
    return net


@pytest.fixture
def file(bert, vocab, tmp_path):
    """The BERT in a file, and its vocabulary beside it."""
    path = tmp_path / "0000020.params"
    nlp.utils.save_parameters(bert, str(path))
    (tmp_path / "bert.vocab").write_text(vocab.to_json())
    return path


@pytest.fixture
def root(tmp_path):
    return tmp_path / "models"


def bring(file, root, name="mine_uncased", **kwargs):
    kwargs = {"vocab": file.parent / "bert.vocab", "backbone": "bert_2_16_2", **kwargs}
    return import_bert(file, name, root=root, **kwargs)


def build(checkpoint, root, **kwargs):
    return nlp.model.get_model(
        checkpoint.backbone, dataset_name=checkpoint.dataset_name, root=str(root), pretrained=True, **kwargs
    )


def edit(file, **changes):
    """Change parameters, '__' in their names for '.'; those that are None go."""
    parameters = mx.nd.load(str(file))
    parameters.update({name.replace("__", "."): array for name, array in changes.items()})
    mx.nd.save(str(file), {name: array for name, array in parameters.items() if array is not None})


def refused(file, root, match, error=CheckpointError, **kwargs):
    """Assert that the import is refused in one line that matches, and leaves nothing behind."""
    before = sorted(root.glob("[!.]*"))
    with pytest.raises(error, match=match) as caught:
        bring(file, root, **kwargs)
    assert "\n" not in str(caught.value)
    assert sorted(root.glob("[!.]*")) == before
    return str(caught.value)


# What comes in ------------------------------------------------------------------------------------------------------


def test_all_outputs_are_those_of_the_bert_that_was_saved(bert, vocab, file, root):
    checkpoint = bring(file, root)
    assert checkpoint.parts == ["pooler", "decoder", "classifier"]
    assert checkpoint.hparams == {"hidden_size": 24, "max_length": 40}
    loaded, loaded_vocab = build(checkpoint, root)
    assert loaded_vocab.idx_to_token == vocab.idx_to_token
    for output, expected in zip(loaded(*INPUTS, POSITIONS), bert(*INPUTS, POSITIONS)):
        np.testing.assert_array_equal(output.asnumpy(), expected.asnumpy())


def test_float16_becomes_float32(bert, file, root):
    edit(file, **{name: array.astype("float16") for name, array in mx.nd.load(str(file)).items()})
    loaded, _ = build(bring(file, root), root)
    assert {np.dtype(parameter.dtype) for parameter in loaded.collect_params().values()} == {np.dtype("float32")}
    np.testing.assert_allclose(
        loaded(*INPUTS, POSITIONS)[1].asnumpy(), bert(*INPUTS, POSITIONS)[1].asnumpy(), atol=1e-2
    )


def test_a_file_without_the_shared_embedding_is_complete(file, root):
    """``save_parameters(deduplicate=True)`` writes it once."""
    whole = bring(file, root, "one_uncased")
    edit(file, decoder__3__weight=None)
    assert bring(file, root, "two_uncased").weights_sha1 == whole.weights_sha1


@pytest.mark.parametrize("make", [nlp.model.BERTClassifier, SNLIBertClassifier], ids=["GluonNLP's", "ours"])
def test_the_bert_in_a_classifier_is_taken_without_the_head(make, vocab, file, root):
    encoder, _ = nlp.model.get_model(
        "bert_2_16_2",
        vocab=vocab,
        pretrained=False,
        use_decoder=False,
        use_classifier=False,
        use_pooler=make is nlp.model.BERTClassifier,
    )
    net = make(encoder, num_classes=3, dropout=0.1)
    net.initialize(mx.init.Normal(0.1))
    net(*INPUTS)
    nlp.utils.save_parameters(net, str(file))
    checkpoint = bring(file, root)
    assert checkpoint.parts == ["pooler"]  # a new one where there was none
    loaded, _ = build(checkpoint, root, use_decoder=False, use_classifier=False)
    expected = encoder(*INPUTS)[0] if make is nlp.model.BERTClassifier else encoder(*INPUTS)
    # In our classifier the last layer encodes the first token alone.
    np.testing.assert_allclose(loaded(*INPUTS)[0][:, 0].asnumpy(), expected[:, 0].asnumpy(), atol=1e-6)


# Its vocabulary -----------------------------------------------------------------------------------------------------


def test_every_form_of_the_vocabulary_is_the_same(tiny_bert, vocab, file, root, tmp_path):
    (tmp_path / "bert.json").write_text(vocab.to_json())
    forms = [tmp_path / "bert.vocab", tmp_path / "bert.json", tiny_bert / "vocab.txt"]
    made = [bring(file, root, f"from{i}_uncased", vocab=form) for i, form in enumerate(forms)]
    assert len({checkpoint.vocab_sha1 for checkpoint in made}) == 1


def test_a_vocabulary_of_the_store_is_shared_under_its_name(tiny_bert, file, root):
    import_bert(tiny_bert, "tiny_uncased", root=root)
    checkpoint = bring(file, root, "tiny_uncased", vocab="tiny_uncased", backbone="bert_2_16_4")
    assert [entry.vocab_file for entry in store.checkpoints(root).values()] == [checkpoint.vocab_file] * 2
    assert build(checkpoint, root)[0](*INPUTS, POSITIONS)[1].shape == (1, 16)


def test_what_no_shape_shows_comes_from_the_checkpoint_of_that_name(tiny_bert, file, root, tmp_path):
    folder = shutil.copytree(str(tiny_bert), str(tmp_path / "relu"))
    config = (tiny_bert / "config.json").read_text().replace('"gelu"', '"relu"')
    (tmp_path / "relu" / "config.json").write_text(config)
    import_bert(folder, "relu_uncased", root=root)
    checkpoint = bring(file, root, vocab="relu_uncased")
    assert checkpoint.hparams == {"hidden_size": 24, "max_length": 40, "activation": "relu"}


def test_a_sentencepiece_vocabulary(file, root, tmp_path, train_sentencepiece):
    sentences = ["a man is sleeping outside", "the woman eats", "two dogs run in the park"]
    model = train_sentencepiece(tmp_path / "pieces.model", sentences * 20)
    refused(file, root, rf"pieces.model has \d+ tokens, {re.escape(str(file))} is for 77", vocab=model)
    refused(file, root, "pieces.vocab does not hold a vocabulary", vocab=tmp_path / "pieces.vocab")
    size = sentencepiece.SentencePieceProcessor(model_file=str(model)).GetPieceSize()
    edit(file, word_embed__0__weight=mx.nd.ones((size, 16)), decoder__3__weight=mx.nd.ones((size, 16)))
    edit(file, decoder__3__bias=mx.nd.zeros(size))
    checkpoint = bring(file, root, vocab=model)
    assert checkpoint.vocab_extension == ".spiece"
    assert len(build(checkpoint, root)[1]) == size
    again = bring(file, root, "other_uncased", vocab="mine_uncased")
    assert (again.vocab_sha1, again.special_tokens) == (checkpoint.vocab_sha1, checkpoint.special_tokens)


def test_a_vocabulary_of_another_family_is_refused(file, root, tmp_path):
    tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *byte_characters()]
    (tmp_path / "other.vocab").write_text(byte_pair_vocab(tokens, []).to_json())
    match = "the vocabulary has no cls_token and no sep_token, which pairs for bert_2_16_2 need"
    refused(file, root, match, UsageError, vocab=tmp_path / "other.vocab", name="mine_cased")


def test_a_vocabulary_of_another_size_is_named_with_both_numbers(file, root, tmp_path):
    path = tmp_path / "short.txt"
    path.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n")
    refused(file, root, f"short.txt has 6 tokens, {re.escape(str(file))} is for 77", vocab=path)


@pytest.mark.parametrize(
    "given, match",
    [
        (None, r"--vocab is missing: .* which 77 tokens .*\(there: bert_2_16_2 tiny_uncased\)"),
        (
            "nowhere.vocab",
            "--vocab nowhere.vocab is not a file, and there is no vocabulary under the name 'nowhere.vocab'",
        ),
        ("gone_uncased", r"no vocabulary under the name 'gone_uncased' .*\(there: bert_2_16_2 tiny_uncased\)"),
        ("book_corpus_wiki_en_uncased", "no vocabulary under the name 'book_corpus_wiki_en_uncased'"),
    ],
)
def test_a_vocabulary_that_is_not_there_is_named(tiny_bert, file, root, given, match):
    import_bert(tiny_bert, "tiny_uncased", root=root)
    refused(file, root, match, UsageError, vocab=given)


def test_a_name_must_not_contradict_the_case_of_the_vocabulary(tiny_bert, file, root):
    import_bert(tiny_bert, "tiny_uncased", root=root)
    refused(file, root, "disagree about the case", UsageError, vocab="tiny_uncased", name="mine_cased")


# Its architecture ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "backbone, match",
    [
        (None, "--backbone is missing: .*0000020.params does not say the number of heads; which bert_2_16_?"),
        ("bert_3_16_2", r"0000020.params holds a bert_2_16_\?, not a bert_3_16_2: give its --backbone"),
        ("bert_2_32_2", r"holds a bert_2_16_\?, not a bert_2_32_2"),
        ("bert_2_16_3", "16 units cannot be divided among 3 heads"),
        ("bert", "no architecture 'bert'"),
    ],
)
def test_a_backbone_that_does_not_fit_is_refused(file, root, backbone, match):
    refused(file, root, match, UsageError, backbone=backbone)


@pytest.mark.parametrize("options", [{"vocab": "vocab.txt"}, {"backbone": "bert_2_16_2"}])
def test_a_folder_brings_its_own(tiny_bert, root, options):
    with pytest.raises(UsageError, match=f"--{next(iter(options))} goes with a .params file"):
        import_bert(tiny_bert, "mine_uncased", root=root, **options)


# Damage -------------------------------------------------------------------------------------------------------------


def test_a_missing_file_is_named(root, tmp_path):
    refused(tmp_path / "nowhere.params", root, "nowhere.params: No such file or directory")


@pytest.mark.parametrize(
    "spoil, match",
    [
        (lambda content: b"", "is not a parameter file of MXNet"),
        (lambda content: content[:5], "is not a parameter file of MXNet"),
        (lambda content: b"PK\x03\x04" + content, "is a ZIP archive"),
        (lambda content: content[:8], "is damaged"),
        (lambda content: content[:-1], "is damaged"),
        (lambda content: content[: len(content) // 2], "is damaged"),
        (lambda content: content[:16] + b"\xff" * 8 + content[24:], "is damaged"),
        (lambda content: content[:-1] + b"\xff", "is damaged"),
    ],
    ids=["empty", "5 bytes", "zip", "8 bytes", "cut", "half", "count", "name"],
)
def test_a_file_that_cannot_be_read_is_named(file, root, spoil, match):
    file.write_bytes(spoil(file.read_bytes()))
    refused(file, root, f"^{re.escape(str(file))} {match}")


def test_arrays_without_names_are_refused(file, root):
    mx.nd.save(str(file), [mx.nd.ones(2)])
    refused(file, root, "holds arrays without names")


@pytest.mark.parametrize(
    "change, match",
    [
        ({WORDS: None}, f"has no parameter {WORDS}: it is not a BERT as GluonNLP saves it"),
        (
            {"token_type_embed.0.weight": None},
            r"holds a distilbert_2_16_\? or roberta_2_16_\?, not a bert_2_16_2: give its --backbone",
        ),
        ({"encoder.transformer_cells.1.proj.bias": None}, "no parameter {}: it is not a complete BERT"),
        ({"encoder.transformer_cells.9.proj.bias": mx.nd.ones(16)}, r"holds a bert_10_16_\?, not a bert_2_16_2"),
        ({"pooler.bias": None}, "has no parameter pooler.bias"),
        ({"decoder.3.bias": mx.nd.ones(76)}, r"decoder.3.bias is of shape \(76,\), the other parameters say \(77,\)"),
        ({"decoder.3.weight": mx.nd.ones((77, 16))}, f"decoder.3.weight is not {WORDS}"),
        ({"encoder.layer_norm.gamma": mx.nd.ones(15)}, r"{} is of shape \(15,\), the other parameters say \(16,\)"),
        ({"encoder.position_weight": mx.nd.ones(16)}, r"{} is of shape \(16,\), not a matrix"),
        ({"token_type_embed.0.weight": mx.nd.ones((1, 16))}, "has embeddings for one segment"),
        ({"pooler.weight": mx.nd.array(np.full((16, 16), np.nan))}, "{} holds numbers that are not finite"),
        ({"pooler.weight": mx.nd.ones((16, 16), dtype="int8")}, "{} is not a dense array of floating-point numbers"),
        ({"lm_head.weight": mx.nd.ones(2)}, "{} is not a parameter of GluonNLP's bert"),
    ],
)
def test_a_parameter_that_cannot_be_is_named(file, root, change, match):
    edit(file, **change)
    error = UsageError if "not a bert" in match else CheckpointError
    assert str(file) in refused(file, root, match.replace("{}", next(iter(change))), error)


def test_a_taken_name_is_kept(file, root):
    first = bring(file, root)
    assert bring(file, root) == first
    edit(file, pooler__bias=mx.nd.ones(16))
    refused(file, root, "is already in .*--overwrite", UsageError)
    assert bring(file, root, overwrite=True) != first
