"""Fine-tune a BERT for natural language inference."""

import argparse
import os
from typing import Any, Dict, Optional

from ...errors import printable
from ...train.settings.finetune_config import FinetuneConfig
from ..training import add_training_arguments, check_training, run_training


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_training_arguments(parser, FinetuneConfig)


def check(options: argparse.Namespace) -> None:
    check_training(options, FinetuneConfig)


def run(options: argparse.Namespace) -> Optional[int]:
    from ...train.finetuning import finetune

    return run_training(options, FinetuneConfig, finetune, _show)


def _show(summary: Dict[str, Any], folder: str) -> None:
    best = f"epoch {summary['best_epoch']}" if summary.get("best_update", 1) else "before the first update"
    print(f"dev accuracy   {summary['dev_accuracy']:.4f} ({best})")
    _show_figures("dev", summary)
    if "test_accuracy" in summary:
        print(f"test accuracy  {summary['test_accuracy']:.4f}")
        _show_figures("test", summary)
    print(f"training       {summary['train_pairs_per_second']:.0f} pairs/s, {summary['seconds']:.0f} s in all")
    shown = printable(folder)
    print(f"model          {shown}/model")
    if os.path.exists(os.path.join(folder, "report.html")):
        print(f"report         {shown}/report.html")


def _show_figures(segment: str, summary: Dict[str, Any]) -> None:
    """What the metric of the task measures besides accuracy."""
    for key, value in summary.items():
        name = key[len(segment) + 1 :]
        if key.startswith(f"{segment}_") and name not in ("accuracy", "pairs_per_second"):
            print(f"{segment + ' ' + name:<14} {value:.4f}")
