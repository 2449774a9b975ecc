"""Compares the truncation strategies on real pairs: pairs cut, tokens kept of each side, accuracy.

    python scripts/benchmark/truncation.py OUT --file dev.jsonl

evaluates one fine-tuned model (fine-tuned without truncation to speak of, ``--max-len 128``) on the same pairs, cut to
several lengths by each strategy, and prints a Markdown table.
"""

import argparse
import sys

import mxnet as mx

from gluonnlp_snli_plugin import PairEncoder, PluginError
from gluonnlp_snli_plugin.data.truncation import list_truncations
from gluonnlp_snli_plugin.formats.model_folder import load_model
from gluonnlp_snli_plugin.model.inference import logits
from gluonnlp_snli_plugin.tasks.snli import SNLI


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", metavar="OUT", help="output folder of gluonnlp-snli finetune")
    parser.add_argument("--file", required=True, help="labelled pairs")
    parser.add_argument("--max-len", type=int, nargs="+", default=[12, 16, 20, 24, 32, 48])
    options = parser.parse_args()
    try:
        compare(options.model, options.file, options.max_len)
    except PluginError as error:
        sys.exit(f"error: {error}")


def compare(folder, file, max_lens):
    model = load_model(folder)
    model.net.hybridize(static_alloc=True)
    tokenizer = model.encoder().tokenizer
    pairs = SNLI(file=file)
    columns = pairs.premises, pairs.hypotheses, pairs.labels
    whole = PairEncoder(tokenizer, model.vocab, max_len=512).encode(*columns)
    print("| max_len | strategy | pairs cut | premise tokens kept | hypothesis tokens kept | accuracy |")
    print("| --- | --- | --- | --- | --- | --- |")
    for max_len in max_lens:
        for strategy in list_truncations():
            cut = PairEncoder(tokenizer, model.vocab, max_len, strategy).encode(*columns)
            accuracy = (logits(model.net, cut, [mx.cpu()]).argmax(axis=1) == cut.labels).mean()
            shares = (
                cut.num_truncated / len(cut),
                cut.len_a.sum() / whole.len_a.sum(),
                cut.len_b.sum() / whole.len_b.sum(),
            )
            print(
                f"| {max_len} | {strategy} | {' | '.join(f'{share:.1%}' for share in shares)} | {accuracy:.4f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
