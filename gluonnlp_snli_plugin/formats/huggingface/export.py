"""Writes and checks a folder for ``transformers.AutoModelForSequenceClassification.from_pretrained``."""

from pathlib import Path
from typing import Any, Dict, List

import numpy as np
from safetensors.numpy import save_file

from ...errors import UsageError
from ...model.family import family_of
from ...model.heads import DenseLayer, head_named
from ...system.files import write_json
from ..job import Job, logits_of
from ..model_folder import Model
from .classifier import RELU_HEAD, read_classifier
from .export_tokenizer import write_tokenizer, write_vocabulary
from .model_card import model_card


def write(job: Job, folder: Path) -> None:
    """Write the folder: config.json, model.safetensors, the tokenizer's files and a model card."""
    settings, units = job.model.settings, job.model.settings.hparams["units"]
    if job.model.spiece:
        raise UsageError(
            "the vocabulary is a SentencePiece model, and transformers' BERT tokenizers know WordPiece alone: "
            "--format onnx brings an example that divides text as this model does"
        )
    is_relu = _hidden_layer(job.model).activation == "relu"
    if is_relu and settings.hidden_units > units:
        raise UsageError(
            f"the head has {settings.hidden_units} hidden units; transformers has no class for more than the {units} "
            "of the BERT: --format onnx takes any"
        )
    write_json(folder / "config.json", _config(job.model))
    # 'format': without it transformers refuses the file.
    save_file(_tensors(job.model, job.parameters()), str(folder / "model.safetensors"), {"format": "pt"})
    write_vocabulary(job.model, folder)
    write_tokenizer(job.model, folder, for_pairs=True)
    write_json(folder / "tokenizer_config.json", _tokenizer_config(job.model))
    (folder / "README.md").write_text(model_card(job), encoding="utf-8")


def check(job: Job, folder: Path) -> np.ndarray:
    """Logits of the folder, read as ``import-bert`` reads it; the tests compare with transformers itself."""
    labels = job.model.settings.labels
    model = read_classifier(folder, labels)
    model.net.hybridize(static_alloc=True)
    return logits_of(model.net, job.encoded)[:, [model.settings.labels.index(label) for label in labels]]


def _hidden_layer(model: Model) -> DenseLayer:
    """The first of the two dense layers that transformers' heads have.

    Raises
    ------
    UsageError
        If the head of the model is another one.
    """
    return _dense_layers(model)[0]


def _dense_layers(model: Model) -> List[DenseLayer]:
    settings = model.settings
    head = head_named(settings.head)
    layers = head.dense_layers(settings.hparams["units"], len(settings.labels), settings.hidden_units)
    if head.is_berts or (head.pooling == "first" and [layer.activation for layer in layers] == ["relu", None]):
        return layers
    raise UsageError(f"transformers has no class with the head {head.name!r}: --format onnx or symbol takes it")


def _config(model: Model) -> Dict[str, Any]:
    hparams, labels = model.settings.hparams, model.settings.labels
    is_relu = _hidden_layer(model).activation == "relu"
    return {
        "architectures": ["BertForSequenceClassification"],
        "model_type": "bert",
        "vocab_size": len(model.vocab),
        **family_of(model.settings.backbone).write_config(hparams, model.vocab[model.vocab.padding_token]),
        "pad_token_id": model.vocab[model.vocab.padding_token],
        "problem_type": "single_label_classification",
        "id2label": {str(i): label for i, label in enumerate(labels)},
        "label2id": {label: i for i, label in enumerate(labels)},
        "torch_dtype": "float32",
        **(RELU_HEAD if is_relu else {"classifier_dropout": model.settings.dropout}),
        **({"pooler_hidden_size": hparams["units"], "cls_dropout": model.settings.dropout} if is_relu else {}),
    }


def _tensors(model: Model, parameters: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
    """The parameters by their names in transformers."""
    units = model.settings.hparams["units"]
    hidden, last = _dense_layers(model)
    is_relu = hidden.activation == "relu"
    tensors = {f"classifier.{kind}": parameters[f"{last.name}.{kind}"] for kind in ("weight", "bias")}
    if is_relu:  # the missing hidden units are zero and add nothing
        missing = units - hidden.units
        tensors["classifier.weight"] = np.pad(tensors["classifier.weight"], ((0, 0), (0, missing)))
        tensors["pooler.dense.weight"] = np.pad(parameters[f"{hidden.name}.weight"], ((0, missing), (0, 0)))
        tensors["pooler.dense.bias"] = np.pad(parameters[f"{hidden.name}.bias"], (0, missing))
    family = family_of(model.settings.backbone)
    mapping = family.parameters(model.settings.hparams, len(model.vocab), [] if is_relu else ["pooler"])
    for ours, (theirs, _) in mapping.items():
        if is_relu:
            for which in ("query", "key", "value"):
                theirs = theirs.replace(f".attention.self.{which}.", f".attention.self.{which}_proj.")
        tensors[f"{'deberta' if is_relu else 'bert'}.{theirs}"] = parameters[f"bert.{ours}"]
    return {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}


def _tokenizer_config(model: Model) -> Dict[str, Any]:
    vocab, tokenizer = model.vocab, model.settings.tokenizer
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",  # which uses tokenizer.json as it is
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
        "do_lower_case": tokenizer.lower,
        "strip_accents": tokenizer.strip_accents,
        "tokenize_chinese_chars": tokenizer.chinese_characters,
        "model_max_length": model.settings.max_len,
        "pad_token": vocab.padding_token,
        "unk_token": vocab.unknown_token,
        "cls_token": vocab.cls_token,
        "sep_token": vocab.sep_token,
        "mask_token": vocab.mask_token,
    }
