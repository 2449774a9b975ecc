"""The corpora of natural language inference besides SNLI, each a task under its name.

Each module says where the official files are in the folder of the corpus, which columns count and how labels are spelt.
None of these corpora is downloaded: a missing file is reported with the page of the corpus.
"""

from . import anli, esnli, hans, multinli, ocnli, scitail, sick, xnli

__all__ = ["anli", "esnli", "hans", "multinli", "ocnli", "scitail", "sick", "xnli"]
