"""Compares an imported backbone with the original: tokens and outputs in GluonNLP against those of `transformers`.

``python scripts/benchmark/compare_import.py --checkpoint DIR`` imports the checkpoint into a temporary model store,
makes an environment of its own with torch and transformers (once; it takes minutes and gigabytes), and lets both read
the same pairs. Prints the largest differences; the exit status is 1 if one is over 1e-4 or any token differs.
"""

import argparse
import itertools
import json
import sys
import tempfile
from pathlib import Path

import gluonnlp as nlp
import mxnet as mx
import numpy as np
from lib import reference_env
from lib.workspace import name_for

from gluonnlp_snli_plugin import PairEncoder, PluginError, import_bert
from gluonnlp_snli_plugin.data.reader import PairReader
from gluonnlp_snli_plugin.model.family import family_of
from gluonnlp_snli_plugin.text.tokenizers import bert_tokenizer

TOLERANCE = 1e-4
BATCH_SIZE = 16
OUTPUTS = {"sequence": "sequence output", "pooled": "pooled output", "mlm": "MLM logits", "nsp": "NSP logits"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--checkpoint", required=True, metavar="DIR", help="BERT, RoBERTa or DistilBERT in Hugging Face's layout"
    )
    parser.add_argument("--file", help="pairs in SNLI's format (default: SNLI's dev pairs)")
    parser.add_argument("--pairs", type=int, default=200, metavar="N", help="how many pairs to read (default: 200)")
    reference_env.add_arguments(parser)
    options = parser.parse_args()
    try:
        return compare(options)
    except PluginError as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 2


def compare(options):
    pairs = read_pairs(options.file, options.pairs)
    with tempfile.TemporaryDirectory() as workspace:
        checkpoint = import_bert(options.checkpoint, name_for(options.checkpoint), root=workspace)
        python = reference_env.reference_python(options.reference_env, options.reference_python)
        reference = reference_outputs(python, options.checkpoint, pairs, workspace)
        family = family_of(checkpoint.backbone)
        parts = {f"use_{part}": part in checkpoint.parts for part in family.parts if part != "pooler"}
        net, vocab = nlp.model.get_model(
            checkpoint.backbone, dataset_name=checkpoint.dataset_name, root=workspace, **parts
        )
        max_len = net.encoder._max_length

    print(f"{checkpoint.backbone} from {options.checkpoint}: {len(pairs)} pairs, {len(reference['ids'])} tokens")
    encoder = PairEncoder(bert_tokenizer(vocab, checkpoint.tokenizer), vocab, max_len, layout=family.layout)
    encoded = encoder.encode(*zip(*pairs))
    bounds = np.cumsum(reference["lengths"])[:-1]
    theirs = zip(*(np.split(reference[name], bounds) for name in ("ids", "segments")))
    different = [
        i
        for i, (ids, segments) in enumerate(theirs)
        if not (np.array_equal(encoded[i][0], ids) and np.array_equal(encoded[i][1], segments))
    ]
    print(f"token ids        differ in {len(different)} pairs")
    for i in different[:3]:
        print(f"  {pairs[i]}\n    transformers: {vocab.to_tokens(np.split(reference['ids'], bounds)[i].tolist())}")
        print(f"    here:         {vocab.to_tokens(encoded[i][0].tolist())}")

    good = not different
    outputs = our_outputs(net, reference, family.layout.has_segments)
    for name, title in OUTPUTS.items():
        if name not in reference:
            print(f"{title:<16} not in the checkpoint")
        elif name not in outputs:
            print(f"{title:<16} not imported, GluonNLP has no such part")
        else:
            difference = abs(outputs[name] - reference[name]).max()
            print(f"{title:<16} differ by {difference:.1e} at most, of {abs(reference[name]).max():.1f}")
            good = good and difference <= TOLERANCE
    print("equal" if good else f"NOT equal (tolerance {TOLERANCE})")
    return 0 if good else 1


def read_pairs(path, number):
    """The first pairs of a file, or of SNLI's dev pairs: a list of (premise, hypothesis)."""
    rows = nlp.data.create("SNLI", segment="dev") if path is None else PairReader(path, labelled=False)
    pairs = [(row[0], row[1]) for row in itertools.islice(rows, max(number, 0))]
    if not pairs:
        raise PluginError(f"no pairs to compare: --file {path} --pairs {number}")
    return pairs


def reference_outputs(python, checkpoint, pairs, workspace):
    """What reference_bert.py computes, a dict of arrays."""
    pairs_file, out_file = Path(workspace, "pairs.json"), Path(workspace, "reference.npz")
    pairs_file.write_text(json.dumps(pairs), encoding="utf-8")
    reference_env.run(python, "-I", reference_env.FOLDER / "reference_bert.py", checkpoint, pairs_file, out_file)
    with np.load(str(out_file)) as arrays:
        return dict(arrays)


def our_outputs(net, reference, has_segments):
    """The outputs of GluonNLP's net for the tokens of the reference, in the reference's form."""
    names = ["sequence"] + ["pooled"] * net._use_pooler + ["nsp"] * net._use_classifier + ["mlm"] * net._use_decoder
    net.hybridize(static_alloc=True)
    outputs = {name: [] for name in names}
    stops = np.cumsum(reference["lengths"])
    starts = stops - reference["lengths"]
    for first in range(0, len(starts), BATCH_SIZE):
        spans = list(zip(starts[first : first + BATCH_SIZE], stops[first : first + BATCH_SIZE]))
        lengths = np.array([stop - start for start, stop in spans])
        valid = np.arange(lengths.max()) < lengths[:, None]
        inputs = []
        for name in ["ids"] + ["segments"] * has_segments:
            padded = np.zeros(valid.shape, np.int32)
            padded[valid] = reference[name][spans[0][0] : spans[-1][1]]
            inputs.append(mx.nd.array(padded, dtype=np.int32))
        inputs.append(mx.nd.array(lengths))
        if net._use_decoder:
            positions = np.tile(reference["masked_positions"], (len(spans), 1)).astype(np.int32)
            inputs.append(mx.nd.array(positions, dtype=np.int32))
        found = net(*inputs)
        for name, output in zip(names, found if len(names) > 1 else [found]):
            output = output.asnumpy()
            outputs[name].append(output[valid] if name == "sequence" else output)
    return {name: np.concatenate(batches) for name, batches in outputs.items()}


if __name__ == "__main__":
    sys.exit(main())
