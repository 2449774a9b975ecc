"""Write the page of a run again, or one that compares runs."""

import argparse

from ...errors import printable

_COMPARISON = "comparison.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folders", nargs="+", metavar="OUT", help="output folder of finetune; several are compared")
    default = f"OUT/report.html, or {_COMPARISON} here for several"
    parser.add_argument("--to", metavar="FILE", help=f"where the page goes (default: {default})")


def run(options: argparse.Namespace) -> None:
    from ...report import write_report

    to = options.to or (_COMPARISON if len(options.folders) > 1 else None)
    print(printable(write_report(options.folders, to)))
