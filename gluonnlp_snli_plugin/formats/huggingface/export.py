"""Writes and checks a folder for ``transformers.AutoModelForSequenceClassification.from_pretrained``."""

from pathlib import Path
from typing import Any, Dict, List

import numpy as np
from safetensors.numpy import save_file

from ...data.layout import BERT_LAYOUT
from ...errors import UsageError
from ...model.family import family_of, problem_with_head
from ...model.heads import DenseLayer, Head, head_named, head_names
from ...system.files import write_json
from ..job import Job, logits_of
from ..model_folder import Model
from .classifier import RELU_HEAD, read_classifier
from .export_tokenizer import write_huggingface_vocabulary, write_tokenizer
from .model_card import model_card


def write(job: Job, folder: Path) -> None:
    """Write the folder: config.json, model.safetensors, the tokenizer's files and a model card."""
    settings, units = job.model.settings, job.model.settings.hparams["units"]
    if job.model.spiece:
        raise UsageError(
            "the vocabulary is a SentencePiece model, and transformers' BERT tokenizers support only WordPiece: "
            "--format onnx writes an example that divides text as this model does"
        )
    hidden, _ = _dense_layers(job.model)
    if hidden.units > units:
        raise UsageError(
            f"the head has {settings.hidden_units} hidden units; transformers has no class for more than the {units} "
            "of the backbone: --format onnx takes any"
        )
    write_json(folder / "config.json", _config(job.model))
    # 'format': without it transformers refuses the file.
    save_file(_tensors(job.model, job.parameters()), str(folder / "model.safetensors"), {"format": "pt"})
    write_huggingface_vocabulary(job.model, folder)
    write_tokenizer(job.model, folder, for_pairs=True)
    write_json(folder / "tokenizer_config.json", _tokenizer_config(job.model))
    (folder / "README.md").write_text(model_card(job, _is_relu(job.model)), encoding="utf-8")


def check(job: Job, folder: Path) -> np.ndarray:
    """Logits of the folder, read as ``import-bert`` reads it; the tests compare with transformers itself."""
    labels = job.model.settings.labels
    model = read_classifier(folder, labels)
    model.net.hybridize(static_alloc=True)
    return logits_of(model.net, job.encoded)[:, [model.settings.labels.index(label) for label in labels]]


def _dense_layers(model: Model) -> List[DenseLayer]:
    """The two dense layers that transformers' heads have.

    Raises
    ------
    UsageError
        If the head of the model is another one.
    """
    settings = model.settings
    family, head, units = family_of(settings.backbone), head_named(settings.head), settings.hparams["units"]
    layers = head.dense_layers(units, len(settings.labels), settings.hidden_units)
    own = head_named(family.own_head).dense_layers(units, len(settings.labels), units)
    possible = [[layer.activation for layer in own]] + [["relu", None]] * family.huggingface.fits_deberta

    def fits(other: Head, dense: List[DenseLayer]) -> bool:
        return other.pooling == "first" and [layer.activation for layer in dense] in possible

    if fits(head, layers):
        return layers
    others = [other for other in map(head_named, head_names()) if not problem_with_head(settings.backbone, other)]
    known = [other.name for other in others if fits(other, other.dense_layers(units, len(settings.labels), units))]
    raise UsageError(
        f"transformers has no class of {settings.backbone} with the head {head.name!r}, only with "
        f"{' or '.join(map(repr, known))}: --format onnx or symbol takes any"
    )


def _is_relu(model: Model) -> bool:
    """Whether its head is one that the family's own class lacks, and DeBERTa's has."""
    return family_of(model.settings.backbone).huggingface.fits_deberta and _dense_layers(model)[0].activation == "relu"


def _config(model: Model) -> Dict[str, Any]:
    vocab, hparams, labels = model.vocab, model.settings.hparams, model.settings.labels
    family, pad_id = family_of(model.settings.backbone), vocab[vocab.padding_token]
    dropout = model.settings.dropout
    relu = {**RELU_HEAD, "pooler_hidden_size": hparams["units"], "cls_dropout": dropout}
    before, _, after = family.layout.ids(vocab)
    return {
        "architectures": [family.huggingface.classifier],
        "model_type": family.model_type,
        "vocab_size": len(vocab),
        **family.write_config(hparams, pad_id),
        "pad_token_id": pad_id,
        **({} if family.layout == BERT_LAYOUT else {"bos_token_id": before[0], "eos_token_id": after[-1]}),
        "problem_type": "single_label_classification",
        "id2label": {str(i): label for i, label in enumerate(labels)},
        "label2id": {label: i for i, label in enumerate(labels)},
        "torch_dtype": "float32",
        **(relu if _is_relu(model) else {family.huggingface.head_dropout: dropout}),
    }


def _tensors(model: Model, parameters: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
    """The parameters by their names in transformers."""
    family, hparams, vocab = family_of(model.settings.backbone), model.settings.hparams, model.vocab
    hidden, last = _dense_layers(model)
    is_relu, names = _is_relu(model), family.huggingface
    own = {name[len("bert.") :]: array for name, array in parameters.items() if name.startswith("bert.")}
    of_bert = family.to_huggingface(own, hparams, vocab[vocab.padding_token])
    # Missing hidden units are zero and add nothing.
    missing = hparams["units"] - hidden.units
    head = {f"{names.head[1]}.bias": parameters[f"{last.name}.bias"]}
    head[f"{names.head[1]}.weight"] = np.pad(parameters[f"{last.name}.weight"], ((0, 0), (0, missing)))
    head[f"{names.head[0]}.weight"] = np.pad(parameters[f"{hidden.name}.weight"], ((0, missing), (0, 0)))
    head[f"{names.head[0]}.bias"] = np.pad(parameters[f"{hidden.name}.bias"], (0, missing))
    tensors = {}
    for theirs, array in {**of_bert, **head}.items():
        is_inside = theirs in of_bert or theirs.startswith(tuple(names.parts.values()))
        if is_relu:  # DeBERTa's pooler is beside it
            for which in ("query", "key", "value"):
                theirs = theirs.replace(f".attention.self.{which}.", f".attention.self.{which}_proj.")
            theirs = theirs if theirs in head else f"deberta.{theirs}"
        else:
            theirs = f"{names.prefix}{theirs}" if is_inside else theirs
        tensors[theirs] = np.ascontiguousarray(array)
    return tensors


def _tokenizer_config(model: Model) -> Dict[str, Any]:
    vocab, tokenizer = model.vocab, model.settings.tokenizer
    family = family_of(model.settings.backbone)
    begin, end = (getattr(vocab, name) for name in (family.layout.before[0], family.layout.after[-1]))
    if tokenizer.algorithm == "byte_pairs":
        how = {"add_prefix_space": tokenizer.add_prefix_space, "bos_token": begin, "eos_token": end}
    else:
        how = {
            "do_lower_case": tokenizer.lower,
            "strip_accents": tokenizer.strip_accents,
            "tokenize_chinese_chars": tokenizer.chinese_characters,
        }
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",  # which uses tokenizer.json as it is
        "model_input_names": ["input_ids", *["token_type_ids"] * family.layout.has_segments, "attention_mask"],
        **how,
        "model_max_length": model.settings.max_len,
        "pad_token": vocab.padding_token,
        "unk_token": vocab.unknown_token,
        "cls_token": begin,
        "sep_token": end,
        "mask_token": vocab.mask_token,
    }
