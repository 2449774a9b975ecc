"""How long it takes, and how much memory, to read a corpus of SNLI's full size.

    python scripts/benchmark/read_corpus.py --rows snli_1.0_train.jsonl

makes a file of 550,152 rows by repeating official rows (numbered, so that no two sentences are the same str), reads it
in a process of its own and prints seconds and peak memory, beside the same loop with the standard library's json.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

SIZE_OF_SNLI_TRAIN = 550_152

PLUGIN = """
import sys, time, resource
from gluonnlp_snli_plugin.tasks.snli import SNLI
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
begin = time.perf_counter()
pairs = SNLI(file=sys.argv[1])
"""
STANDARD_LIBRARY = """
import sys, time, resource, json
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
begin = time.perf_counter()
pairs = []
for line in open(sys.argv[1], encoding="utf-8"):
    row = json.loads(line)
    if row["gold_label"] != "-":
        pairs.append([row["sentence1"], row["sentence2"], row["gold_label"]])
"""
REPORT = """
seconds = time.perf_counter() - begin
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(f"{len(pairs):>9,d} pairs {seconds:6.2f} s  {peak / 1024:5.0f} MiB, {(peak - base) / 1024:4.0f} MiB of it pairs")
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=Path, required=True, help="a file with rows of the official snli_1.0_*.jsonl")
    parser.add_argument("--size", type=int, default=SIZE_OF_SNLI_TRAIN, help="rows to make")
    parser.add_argument("--repeat", type=int, default=3, help="measurements of each, in turn")
    options = parser.parse_args()
    try:
        rows = [json.loads(line) for line in options.rows.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        sys.exit(f"{options.rows}: {error}")
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder, "snli_1.0_train.jsonl")
        with open(corpus, "w", encoding="utf-8") as file:
            for i in range(options.size):
                row = rows[i % len(rows)]
                # A premise comes three times in SNLI, a hypothesis once.
                numbered = {**row, "sentence1": f"{row['sentence1']} {i // 3}", "sentence2": f"{row['sentence2']} {i}"}
                file.write(json.dumps(numbered, ensure_ascii=False) + "\n")
        print(f"{options.size:,d} rows, {corpus.stat().st_size / 1e6:.0f} MB")
        for _ in range(options.repeat):
            for name, code in (("this project", PLUGIN), ("json module", STANDARD_LIBRARY)):
                print(f"{name:14}", end="", flush=True)
                subprocess.run([sys.executable, "-c", code + REPORT, str(corpus)], check=True)


if __name__ == "__main__":
    main()
