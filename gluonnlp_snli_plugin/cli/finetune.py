"""Fine-tune a BERT for natural language inference."""

import argparse
import dataclasses

from ..train.comm import known_rank, parse_devices
from ..train.config import FinetuneConfig, configure
from ..train.loop import finetune
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
    add_rank_arguments(parser)


def run(options):
    given = {field.name for field in dataclasses.fields(FinetuneConfig)} & set(vars(options))
    settings = {name: getattr(options, name) for name in given}
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
    print(f"model          {settings['output_dir']}/model")
