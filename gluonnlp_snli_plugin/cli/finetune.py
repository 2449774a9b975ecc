"""Fine-tune a BERT for natural language inference."""

import os

from ..errors import printable
from ..train.finetune_config import FinetuneConfig
from ..train.finetuning import finetune
from .training import add_training_arguments, run_training


def add_arguments(parser):
    add_training_arguments(parser, FinetuneConfig)


def run(options):
    return run_training(options, FinetuneConfig, finetune, _show)


def _show(summary, folder):
    print(f"dev accuracy   {summary['dev_accuracy']:.4f} (epoch {summary['best_epoch']})")
    if "test_accuracy" in summary:
        print(f"test accuracy  {summary['test_accuracy']:.4f}")
    print(f"training       {summary['train_pairs_per_second']:.0f} pairs/s, {summary['seconds']:.0f} s in all")
    shown = printable(folder)
    print(f"model          {shown}/model")
    if os.path.exists(os.path.join(folder, "report.html")):
        print(f"report         {shown}/report.html")
