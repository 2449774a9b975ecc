"""Fine-tune a BERT, RoBERTa or DistilBERT for natural language inference."""

import argparse
import os
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Optional, Tuple

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
    best = f"epoch {summary['best_epoch']}" if summary.get("best_update", 1) else "before the first update"
    lines = [
        (what, f"{value:.4f} ({best})" if what == "dev accuracy" else f"{value:.4f}")
        for what, value in _scores(summary, _scored_sets(folder))
    ]
    lines.append(("training", f"{summary['train_pairs_per_second']:.0f} pairs/s, {summary['seconds']:.0f} s in all"))
    lines.append(("model", f"{folder}/model"))
    if os.path.exists(os.path.join(folder, "report.html")):
        lines.append(("report", f"{folder}/report.html"))
    width = max(len("test accuracy"), *(len(what) for what, _ in lines))
    for what, value in lines:
        print(printable(f"{what:<{width}}  {value}"))


def _scored_sets(folder: str) -> List[str]:
    """The names of what the run was scored on."""
    data = read_json(Path(folder) / "config.json")["data"]
    return [name for name in data if name.split()[0] != "train"]  # "train 1", "train 2", ...: what was mixed


def _scores(summary: Dict[str, Any], names: Iterable[str]) -> Iterator[Tuple[str, float]]:
    """The scores on each evaluation file: accuracy, and what the metric of the task measures besides."""
    for name in names:
        longer = tuple(f"{other}_" for other in names if other.startswith(f"{name}_"))
        for key, value in summary.items():
            if key.startswith(f"{name}_") and not key.startswith(longer) and key != f"{name}_pairs_per_second":
                yield f"{name} {key[len(name) + 1 :]}", value
