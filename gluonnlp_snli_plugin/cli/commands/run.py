"""Run one of GluonNLP's own scripts with what the plugin registered, on one rank or several.

SCRIPT is one of GluonNLP v0.10.0, such as scripts/bert/finetune_classifier.py, and runs as `python SCRIPT ...` does.
What comes before it is for this command, what follows it for the script.
"""

import argparse
from typing import Optional

from ...errors import UsageError
from ...parallel.place import ENGINES
from ..options import add_naming_arguments, add_rank_arguments, run_on_ranks


def add_arguments(parser: argparse.ArgumentParser) -> None:
    for segment in ("train", "dev", "test"):
        parser.add_argument(f"--{segment}-file", metavar="F", help=f"{segment} pairs of the task: JSON, TSV or CSV")
    add_naming_arguments(parser)
    parser.add_argument(
        "--corpus-root",
        "--snli-root",
        metavar="D",
        help="folder of the task's corpus (default: its own in $MXNET_HOME/datasets)",
    )
    parser.add_argument("--glue-root", metavar="D", help="folder of GLUE, for the tasks of GLUE: RTE, MRPC, STS-B, ...")
    parser.add_argument(
        "--truncation", metavar="NAME", help="which sentence is cut in a pair that is too long; see list truncations"
    )
    parser.add_argument(
        "--exact-tokenizer",
        action="store_true",
        help="use the tokenizer that the model store has for the vocabulary, not GluonNLP's own",
    )
    add_rank_arguments(parser)
    parser.add_argument("--no-native", action="store_true", help="use MXNet's own operators on CPU, not the C++ ones")
    parser.add_argument("--gpus", metavar="I,J", help="the GPU of each rank, for example 0,1")
    parser.add_argument("--devices", metavar="D,E", help="the device of each rank, for example cpu:0,cpu:1")
    parser.add_argument(
        "--engine", choices=ENGINES, default="auto", help="what computes; default: what can on the GPUs, mxnet on CPU"
    )
    parser.add_argument("script", metavar="SCRIPT", help="the script")
    parser.add_argument("arguments_of_script", metavar="...", nargs=argparse.REMAINDER, help="its own arguments")


def check(options: argparse.Namespace) -> None:
    if options.train_file or options.dev_file or options.test_file:
        if options.corpus_root:
            raise UsageError("--corpus-root names all files of a corpus: omit --train-file, --dev-file and --test-file")
        if not (options.train_file and options.dev_file):
            raise UsageError("--train-file and --dev-file go together: a script reads both")
    if options.glue_root and (options.train_file or options.corpus_root):
        raise UsageError("--glue-root names the files of GLUE's tasks: omit --train-file and --corpus-root")
    if not options.train_file and (options.columns or options.labels):
        raise UsageError("--columns and --labels say how files are written: give --train-file and --dev-file too")
    for name in ("gpus", "devices"):
        there = getattr(options, name)
        is_shared = name == "devices" and "," not in (there or "")  # the CPU serves every rank
        if there and options.np and options.np > len(there.split(",")) and not is_shared:
            raise UsageError(f"--np {options.np} with --{name} {there}: each rank needs a device of its own")


def run(options: argparse.Namespace) -> Optional[int]:
    from ...data import truncation
    from ...data.reader import PairReader
    from ...host import run_script
    from ...host.data import require_glue, task_of
    from ...host.script import Script
    from ...parallel.backends import require_backend
    from ...parallel.devices import parse_script_devices

    if options.truncation:
        truncation.create(options.truncation)  # reports an unknown name before ranks are started
    files = {segment: getattr(options, f"{segment}_file") for segment in ("train", "dev", "test")}
    if options.glue_root:
        require_glue(options.arguments_of_script, options.glue_root)
    if options.train_file or options.corpus_root:  # before ranks are started
        schema = task_of(options.arguments_of_script).schema
        PairReader(options.train_file or "", columns=options.columns, labels=options.labels, schema=schema)
    devices = parse_script_devices(options.devices, options.gpus, options.engine)
    uses_xla = devices is not None and devices.uses_xla
    if uses_xla:
        require_backend(options.comm, uses_xla)
        if options.no_native:
            raise UsageError("--no-native is about MXNet's operators on CPU: omit it where XLA computes")

    def run_on(backend: Optional[str]) -> Optional[int]:
        return run_script(
            options.script,
            options.arguments_of_script,
            files,
            options.corpus_root,
            options.truncation,
            backend,
            devices,
            native=not options.no_native,
            columns=options.columns,
            labels=options.labels,
            exact_tokenizer=options.exact_tokenizer,
            glue_root=options.glue_root,
        )

    Script(options.script)
    return run_on_ranks(options, run_on, default=len(devices) if devices else 1, uses_xla=uses_xla)
