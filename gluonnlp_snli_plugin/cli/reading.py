"""The options of commands that read pairs from files."""


def add_reading_arguments(parser):
    """Add the options that say how files of pairs are written, and what to do with bad rows."""
    add_naming_arguments(parser)
    parser.add_argument("--on-bad-row", choices=("error", "skip"), default="error", help="default: error")


def add_naming_arguments(parser):
    """Add the options that say how files of pairs are written."""
    parser.add_argument(
        "--columns",
        metavar="C",
        help="names of columns that are not found by themselves: premise=NAME,hypothesis=NAME,label=NAME",
    )
    parser.add_argument(
        "--labels", metavar="L", help="what labels mean that are not known, such as numbers: SPELLING=CLASS,..."
    )
