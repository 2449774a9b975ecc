"""``python -m gluonnlp_snli_plugin`` is ``gluonnlp-snli``."""

import sys

from .cli import main

sys.exit(main())
