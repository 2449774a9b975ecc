"""A BERT in Hugging Face's layout: config.json, vocab.txt, model.safetensors, tokenizer_config.json."""

import json
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

NAMES = {  # GluonNLP's for Hugging Face's
    "word_embed.0.weight": "embeddings.word_embeddings.weight",
    "encoder.layer_norm.gamma": "embeddings.LayerNorm.weight",
    "encoder.transformer_cells.1.attention_cell.proj_key.bias": "encoder.layer.1.attention.self.key.bias",
    "encoder.transformer_cells.0.ffn.ffn_2.weight": "encoder.layer.0.output.dense.weight",
    "pooler.bias": "pooler.dense.bias",
}


@pytest.fixture(scope="module")
def folder(tiny_bert, tmp_path_factory):
    return shutil.copytree(str(tiny_bert), str(tmp_path_factory.mktemp("import") / "bert"))


@pytest.fixture
def bring(worker, tiny_bert, tmp_path):
    """Imports the tiny BERT with some files written anew, and checks what comes of it."""

    def run(**files):
        folder = tmp_path / "bert"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(str(tiny_bert), str(folder))
        for name, content in files.items():
            (folder / name.replace("__", ".")).write_bytes(content)
        found = worker("imported", folder, root=str(tmp_path / "root"))
        if found is None:
            return None
        tensors = load((folder / "model.safetensors").read_bytes())
        config = json.loads((folder / "config.json").read_bytes())
        layers, units, heads = map(int, found["backbone"].split("_")[1:])
        sizes = (config["num_hidden_layers"], config["hidden_size"], config["num_attention_heads"])
        assert (layers, units, heads) == sizes
        for ours, theirs in NAMES.items():
            spellings = {theirs, f"bert.{theirs}", theirs.replace("Norm.weight", "Norm.gamma")}
            (tensor,) = (tensors[name] for name in spellings if name in tensors)
            expected = tensor.astype("float32")
            np.testing.assert_array_equal(np.array(found["parameters"][ours], "float32"), expected)
        return found

    return run


@settings.get_profile("slow fuzz")
@given(data=st.data())
def test_a_config_is_followed_or_refused(data, damage, bring, tiny_bert):
    config = json.loads((tiny_bert / "config.json").read_text())
    config.update(architectures=["BertModel"], position_embedding_type="absolute", is_decoder=False)
    if data.draw(st.booleans()):
        del config["model_type"]
    more = [1, 2, 3, 16, 77, 1 << 23, (1 << 24) - 1, 1 << 24, "relu", "bert", 0.5, ["BertModel"], {"a": 1}]
    bring(config__json=data.draw(damage.json_bytes(config, more)))


@pytest.mark.parametrize(
    "setting", "vocab_size num_hidden_layers hidden_size intermediate_size max_position_embeddings".split()
)
def test_sizes_that_the_weights_have_not_take_no_memory(bring, tiny_bert, setting):
    config = json.loads((tiny_bert / "config.json").read_text())
    assert bring(config__json=json.dumps({**config, setting: (1 << 24) - 2}).encode()) is None


@settings.get_profile("slow fuzz")
@given(data=st.data())
def test_a_damaged_vocabulary_is_refused_or_as_large_as_the_weights(data, damage, bring, tiny_bert):
    bring(vocab__txt=data.draw(damage.content((tiny_bert / "vocab.txt").read_bytes())))


@settings.get_profile("slow fuzz")
@given(data=st.data())
def test_a_damaged_tokenizer_config_is_refused_or_left_alone(data, damage, bring):
    config = {"do_lower_case": True, "strip_accents": None, "tokenize_chinese_chars": True}
    bring(tokenizer_config__json=data.draw(damage.json_bytes(config)))


@settings.get_profile("slow fuzz")
@given(data=st.data())
def test_damaged_tensors_are_refused_or_read_as_they_are(data, damage, bring, tiny_bert):
    bring(model__safetensors=data.draw(damage.content((tiny_bert / "model.safetensors").read_bytes())))


@settings.get_profile("slow fuzz")
@given(data=st.data())
def test_a_header_of_tensors_that_lies_is_refused(data, damage, bring, tiny_bert):
    content = (tiny_bert / "model.safetensors").read_bytes()
    size = int.from_bytes(content[:8], "little")
    header, rest = json.loads(content[8 : 8 + size]), content[8 + size :]
    chosen = {name: header[name] for name in data.draw(st.lists(st.sampled_from(sorted(header)), max_size=3))}
    more = ["F16", "BF16", "F64", "I8", "BOOL", "F8_E4M3", [1 << 40], [1 << 62, 1 << 62], [0, 1 << 60], [4, 2]]
    changed = data.draw(damage.json(chosen, more)) if chosen else {}
    changed = {**header, **changed} if isinstance(changed, dict) else changed
    text = json.dumps(changed).encode()
    claimed = data.draw(st.sampled_from([len(text)] * 4 + [0, 1, len(text) - 1, 1 << 60, (1 << 64) - 1]))
    bring(model__safetensors=claimed.to_bytes(8, "little") + text + rest)


@settings.get_profile("slow fuzz")
@given(data=st.data())
def test_tensors_of_other_names_shapes_and_types_are_refused_or_read(data, bring, tiny_bert):
    tensors = load((tiny_bert / "model.safetensors").read_bytes())
    for name in data.draw(st.lists(st.sampled_from(sorted(tensors)), min_size=1, max_size=2)):
        what = data.draw(st.sampled_from(["remove", "prefix", "double", "shape", "type", "number"]))
        tensor = tensors.pop(name, None)
        if what == "remove" or tensor is None:
            continue
        if what in ("prefix", "double"):
            tensors[f"bert.{name}"] = tensor
        if what == "double":
            tensors[name] = tensor + 1
        if what == "shape":
            tensors[name] = tensor.reshape(data.draw(st.sampled_from([(-1,), (1, -1), (-1, 1), (-1, 2), (-1, 1, 1)])))
        if what == "type":
            tensors[name] = tensor.astype(data.draw(st.sampled_from(["float16", "float64", "int8", "bool"])))
        if what == "number":
            tensors[name] = np.full(tensor.shape, data.draw(st.sampled_from([np.nan, np.inf, 1e300])))
    bring(model__safetensors=save(tensors))


@pytest.mark.parametrize("name", ["config.json", "vocab.txt", "model.safetensors", "tokenizer_config.json"])
def test_a_folder_in_the_place_of_a_file_is_refused(worker, tiny_bert, tmp_path, name):
    folder = shutil.copytree(str(tiny_bert), str(tmp_path / "bert"))
    (tmp_path / "bert" / name).unlink() if (tmp_path / "bert" / name).exists() else None
    (tmp_path / "bert" / name).mkdir()
    found = worker("imported", folder, root=str(tmp_path / "root"))
    assert found is None or name == "tokenizer_config.json"


def test_a_folder_whose_name_is_no_utf_8_is_read_or_refused(worker, tiny_bert, tmp_path):
    folder = tmp_path / "caf\udce9"
    shutil.copytree(str(tiny_bert), str(folder))
    worker("imported", folder, root=str(tmp_path / "root"), names_path=False)
