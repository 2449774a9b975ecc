"""Makes the files beside it: tiny BERTs written by `transformers`, and what `transformers` computes with them.

``test_huggingface.py`` imports each of the checkpoints and compares. To make them again, in an environment of its own::

    python -m venv /tmp/reference && /tmp/reference/bin/pip install torch==2.13.0 transformers==5.23.0 numpy
    /tmp/reference/bin/python tests/formats/golden/make_golden.py

All parameters are drawn anew, biases and LayerNorms too: a fresh model has zeros and ones there, and an exchange of two
of them would go unnoticed.
"""

import shutil
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForPreTraining,
    BertForSequenceClassification,
    BertModel,
)

HERE = Path(__file__).parent
WORDS = (
    "a man woman dog boy girl people child is are in on the of and with at plays runs sleeps eats sits stands outside "
    "inside red blue two three park street water . , ' ##s ##ing ##ed ##er un ##able jump walk guitar ball no not "
    "nobody every some"
)
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS.split()]
VALID_LENGTHS = (14, 5, 9, 1)
LENGTH = max(VALID_LENGTHS)
MASKED_POSITIONS = ((1, 7, 13), (1, 2, 4), (3, 5, 8), (0, 0, 0))


def config(**changes):
    sizes = {
        "vocab_size": len(VOCABULARY),
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 40,
        "max_position_embeddings": 40,
    }
    return BertConfig(**{**sizes, **changes})


def save(folder, model, seed, dtype=torch.float32, scale=1.0):
    """Give the model new parameters and write it; embeddings are multiplied by `scale`."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.25)
            if name.endswith("LayerNorm.weight"):
                parameter += 1
            if "embeddings.weight" in name:
                parameter *= scale
    model.to(dtype).save_pretrained(folder)


def rename(folder, old, new):
    tensors = load_file(folder / "model.safetensors")
    renamed = {name.replace(old[0], new[0]).replace(old[1], new[1]): tensor for name, tensor in tensors.items()}
    save_file(renamed, folder / "model.safetensors", metadata={"format": "pt"})


def inputs(seed, model_config):
    """Token ids, segments and mask: [CLS] and words, padded after the valid length."""
    generator = np.random.default_rng(seed)
    ids = generator.integers(5, len(VOCABULARY), (len(VALID_LENGTHS), LENGTH))
    ids[:, 0] = VOCABULARY.index("[CLS]")
    segments = generator.integers(0, model_config.type_vocab_size, ids.shape)
    mask = np.arange(LENGTH) < np.array(VALID_LENGTHS)[:, None]
    return ids * mask, segments * mask, mask


def outputs(folder, model_class, seed):
    """What transformers computes, in float32, with the model in `folder`."""
    model = model_class.from_pretrained(folder, dtype=torch.float32).eval()
    ids, segments, mask = inputs(seed, model.config)
    with torch.no_grad():
        encoder = model if model_class is BertModel else model.bert
        encoded = encoder(torch.tensor(ids), torch.tensor(mask).long(), torch.tensor(segments))
        sequence, pooled = encoded.last_hidden_state, encoded.pooler_output
        result = {"sequence": sequence * torch.tensor(mask)[..., None]}  # zero in the padding, as GluonNLP has it
        if pooled is not None:
            result["pooled"] = pooled
        if hasattr(model, "cls"):
            masked = torch.stack([sequence[row, list(where)] for row, where in enumerate(MASKED_POSITIONS)])
            result["mlm"] = model.cls.predictions(masked)
        if hasattr(model, "cls") and pooled is not None:
            result["nsp"] = model.cls.seq_relationship(pooled)
    expected = {key: value.numpy() for key, value in result.items()}
    return {"ids": ids.astype(np.int32), "segments": segments.astype(np.int32), **expected}


def make():
    padded = len(VOCABULARY) + 4  # vocab.txt is shorter than the embedding
    models = {
        "base": (BertModel(config()), {}),
        "pretraining": (BertForPreTraining(config()), {}),
        "masked_lm": (BertForMaskedLM(config(num_hidden_layers=1)), {}),
        "sequence_classification": (
            BertForSequenceClassification(config(num_labels=3, num_attention_heads=2, num_hidden_layers=1)),
            {},
        ),
        # Small embeddings, so that layer_norm_eps shows.
        "relu": (
            BertModel(
                config(
                    hidden_act="relu",
                    layer_norm_eps=1e-5,
                    type_vocab_size=3,
                    max_position_embeddings=24,
                    num_hidden_layers=2,
                    intermediate_size=24,
                    num_attention_heads=8,
                )
            ),
            {"scale": 0.01},
        ),
        "gamma_beta": (BertForPreTraining(config(hidden_act="gelu_new", num_hidden_layers=1)), {}),
        "float16": (BertModel(config(vocab_size=padded, num_hidden_layers=1)), {"dtype": torch.float16}),
        "bfloat16": (BertForMaskedLM(config(num_hidden_layers=1)), {"dtype": torch.bfloat16}),
    }
    expected = {
        "valid_lengths": np.array(VALID_LENGTHS, np.int32),
        "masked_positions": np.array(MASKED_POSITIONS, np.int32),
    }
    for seed, (name, (model, how)) in enumerate(models.items()):
        folder = HERE / name
        shutil.rmtree(folder, ignore_errors=True)
        save(folder, model, seed, **how)
        for key, value in outputs(folder, type(model), seed).items():
            expected[f"{name}/{key}"] = value
        if name == "gamma_beta":  # as TensorFlow's names came through in early checkpoints
            rename(folder, ("LayerNorm.weight", "LayerNorm.bias"), ("LayerNorm.gamma", "LayerNorm.beta"))
        (folder / "model.safetensors").chmod(0o644)
    (HERE / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    np.savez_compressed(HERE / "expected.npz", **expected)


if __name__ == "__main__":
    torch.set_num_threads(1)
    make()
