"""Fine-tune a BERT for natural language inference."""

import argparse
import dataclasses
import os

from ..errors import UsageError
from ..train.comm import known_rank, parse_devices
from ..train.config import FinetuneConfig, configure
from ..train.loop import finetune
from ..train.resume import recorded_run
from .ranks import add_rank_arguments, run_on_ranks


def add_arguments(parser):
    for field in dataclasses.fields(FinetuneConfig):
        settings = dict(field.metadata)
        option = f"--{field.name.replace('_', '-')}"
        if field.default is False:
            parser.add_argument(option, action="store_true", default=argparse.SUPPRESS, **settings)
            continue
        kind = str if field.default is None else type(field.default)
        if field.default not in (None, ""):
            settings["help"] += f" (default: {field.default})"
        settings.setdefault("metavar", None if "choices" in settings else {int: "N", float: "X"}.get(kind, "F"))
        # An option that is not given stays out, so that the sample can bring defaults of its own.
        parser.add_argument(option, type=kind, default=argparse.SUPPRESS, **settings)
    parser.add_argument("--resume", metavar="OUT", help="go on with the run in OUT from its newest checkpoint")
    parser.add_argument("--resume-anyway", action="store_true", help="even if data, packages or devices have changed")
    add_rank_arguments(parser)


def run(options):
    given = {field.name for field in dataclasses.fields(FinetuneConfig)} & set(vars(options))
    settings = {name: getattr(options, name) for name in given}
    if options.resume_anyway and not options.resume:
        raise UsageError("--resume-anyway goes with --resume OUT")
    if options.resume:
        config, record = recorded_run(options.resume, **settings)
        if options.np is None and record.get("ranks", 1) > 1:  # as it was started
            options.np, options.comm = record["ranks"], options.comm or record.get("comm")
        settings.update(resume=options.resume, resume_anyway=options.resume_anyway)
    else:
        config = configure(**settings)  # complains before any rank is started
    if options.np:
        parse_devices(config.gpus, config.devices).of_rank(0, options.np)
    return run_on_ranks(options, lambda comm: _finetune(comm, settings))


def _finetune(comm, settings):
    summary = finetune(comm, **settings)
    if comm and known_rank() > 0:
        return
    print(f"dev accuracy   {summary['dev_accuracy']:.4f} (epoch {summary['best_epoch']})")
    if "test_accuracy" in summary:
        print(f"test accuracy  {summary['test_accuracy']:.4f}")
    print(f"training       {summary['train_pairs_per_second']:.0f} pairs/s, {summary['seconds']:.0f} s in all")
    folder = settings.get("resume") or settings["output_dir"]
    print(f"model          {folder}/model")
    if os.path.exists(os.path.join(folder, "report.html")):
        print(f"report         {folder}/report.html")
