"""Fine-tune a BERT, RoBERTa or DistilBERT for natural language inference."""

import argparse
import os
from pathlib import Path
from typing import Any, Dict, Optional

from ...errors import printable
from ...system.reading import read_json
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
    from ...formats.output_folder import scores_in

    best = f"epoch {summary['best_epoch']}" if summary.get("best_update", 1) else "before the first update"
    lines = []
    for name, figure, value in scores_in(read_json(Path(folder) / "config.json"), summary):
        is_best = (name, figure) == ("dev", "accuracy")
        lines.append((f"{name} {figure}", f"{value:.4f}{f' ({best})' if is_best else ''}"))
    lines.append(("training", f"{summary['train_pairs_per_second']:.0f} pairs/s, {summary['seconds']:.0f} s in all"))
    lines.append(("model", f"{folder}/model"))
    if os.path.exists(os.path.join(folder, "report.html")):
        lines.append(("report", f"{folder}/report.html"))
    width = max(len("test accuracy"), *(len(what) for what, _ in lines))
    for what, shown in lines:
        print(printable(f"{what:<{width}}  {shown}"))
