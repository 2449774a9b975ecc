"""Training speed of one rank against several, a thread each, in turn in one run: pairs a second and efficiency.

    python scripts/benchmark/scaling.py --dataset-name minilm_uncased --train-file train.jsonl --dev-file dev.jsonl

Each rank has batches of the same size, so that N ranks take an N-th of the steps. The rates are those of the second
epoch, when memory for nearly all lengths is there. Efficiency is the rate of N ranks over N times that of one.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--dataset-name", required=True, help="weights of the model store")
    parser.add_argument("--train-file", required=True)
    parser.add_argument("--dev-file", required=True)
    parser.add_argument("--pairs", type=int, default=960, help="training pairs to use")
    parser.add_argument("--batch-size", type=int, default=32, help="pairs a rank and step")
    parser.add_argument("--np", type=int, default=2, help="ranks")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each kind")
    options = parser.parse_args()

    backends = ["dist_sync"] + (["horovod"] if importlib.util.find_spec("horovod") else [])
    rates = {backend: [] for backend in ["alone", *backends]}
    with tempfile.TemporaryDirectory() as folder:
        train_file, dev_file = Path(folder, "train.jsonl"), Path(folder, "dev.jsonl")
        for source, target, pairs in (
            (options.train_file, train_file, options.pairs),
            (options.dev_file, dev_file, 64),
        ):
            target.write_text("".join(Path(source).read_text().splitlines(keepends=True)[:pairs]))
        for _ in range(options.rounds):
            for backend, measured in rates.items():
                output = Path(folder, "out")
                command = [sys.executable, "-m", "gluonnlp_snli_plugin", "finetune", "--overwrite", "--epochs", "2"]
                command += ["--dataset-name", options.dataset_name, "--output-dir", output]
                command += ["--train-file", train_file, "--dev-file", dev_file, "--batch-size", str(options.batch_size)]
                command += ["--log-steps", "1000000"]  # a line for each epoch
                if backend != "alone":
                    command += ["--np", str(options.np), "--comm", backend]
                environment = {**os.environ, "OMP_NUM_THREADS": "1"}
                subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
                lines = map(json.loads, (output / "metrics.jsonl").read_text().splitlines())
                measured.append([line["pairs_per_second"] for line in lines if line["kind"] == "train"][-1])

    print(f"| {options.np} ranks, a thread each | pairs/s | one rank, one thread | efficiency |")
    print("| --- | --- | --- | --- |")
    for backend in backends:
        efficiencies = [many / one / options.np for one, many in zip(rates["alone"], rates[backend])]
        print(
            f"| {backend} | {_spread(rates[backend])} | {_spread(rates['alone'])} "
            f"| {statistics.median(efficiencies):.2f} ({min(efficiencies):.2f} to {max(efficiencies):.2f}) |"
        )


def _spread(values):
    return f"{min(values):.1f} to {max(values):.1f}"


if __name__ == "__main__":
    main()
