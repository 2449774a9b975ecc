"""The SNLI corpus: ``nlp.data.create('SNLI', segment='dev')`` and ``nlp.data.get_task('SNLI')``.

Bowman et al., "A large annotated corpus for learning natural language inference", EMNLP 2015.
"""

from .dataset import PairDataset
from .download import SNLI_ARCHIVE
from .nli import LABEL_ALIAS, LABELS
from .task import PairTask, register


class SNLI(PairDataset):
    """The Stanford Natural Language Inference corpus.

    Each row is ``[premise, hypothesis, label]`` (three str, as GluonNLP's GLUE datasets have them), with the label
    'entailment', 'contradiction' or 'neutral'. Rows without a gold label are left out.

    The official files ``snli_1.0_{train,dev,test}`` are read from `root`, ``.jsonl`` before ``.txt``; if they are
    missing, the official archive (95 MB) is downloaded first.

    Parameters
    ----------
    segment : {'train', 'dev', 'test'}, default 'train'
    root : str or None
        Folder of the files, default ``$MXNET_HOME/datasets/snli``.
    file, on_bad_row, columns, labels
        See :class:`.PairDataset`.
    url : str or None
        Where to download the archive, default the environment variable ``SNLI_URL``, else its page at Stanford NLP.

    Examples
    --------
    >>> import gluonnlp as nlp, gluonnlp_snli_plugin
    >>> nlp.data.create('SNLI', segment='dev')[0]
    ['Two women are embracing while holding to go packages.', 'The sisters are hugging goodbye ...', 'neutral']
    """


@register
class SNLITask(PairTask):
    """Natural language inference on SNLI: three classes, scored by accuracy.

    Parameters
    ----------
    root : str or None
        Folder of the official files, default ``$MXNET_HOME/datasets/snli``.
    files : dict of str to str, optional
        Files to read instead of the official ones, by segment.

    Examples
    --------
    >>> task = nlp.data.get_task('SNLI')
    >>> task.class_labels
    ['entailment', 'contradiction', 'neutral']
    >>> segment, dataset = task.dataset_dev()
    """

    name = "SNLI"
    class_labels = LABELS
    label_alias = LABEL_ALIAS
    files = {
        segment: tuple(
            f"{folder}snli_1.0_{segment}.{kind}" for kind in ("jsonl", "txt") for folder in ("", "snli_1.0/")
        )
        for segment in ("train", "dev", "test")
    }
    archive = SNLI_ARCHIVE
    dataset = SNLI
