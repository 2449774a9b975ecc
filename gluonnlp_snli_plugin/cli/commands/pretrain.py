"""Pretrain a BERT on text: masked words and next sentences."""

import argparse
from typing import Any, Dict, Optional

from ...errors import printable
from ...train.settings.pretrain_config import PretrainConfig
from ..training import add_training_arguments, check_training, run_training


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_training_arguments(parser, PretrainConfig)


def check(options: argparse.Namespace) -> None:
    check_training(options, PretrainConfig)


def run(options: argparse.Namespace) -> Optional[int]:
    from ...train.pretraining import pretrain

    return run_training(options, PretrainConfig, pretrain, _show)


def _show(summary: Dict[str, Any], folder: str) -> None:
    from ...store import store_root

    print(f"masked words   loss {summary['mlm_loss']:.4f}, accuracy {summary['mlm_accuracy']:.4f} (held-out documents)")
    print(f"next sentence  loss {summary['nsp_loss']:.4f}, accuracy {summary['nsp_accuracy']:.4f}")
    print(f"training       {summary['train_tokens_per_second']:.0f} tokens/s, {summary['seconds']:.0f} s in all")
    print(f"BERT           {summary['backbone']} as {summary['dataset_name']} in {printable(store_root())}")
    print(f"fine-tune it:  gluonnlp-snli finetune --dataset-name {summary['dataset_name']} --output-dir OUT ...")
