"""The SNLI task: ``nlp.data.get_task('SNLI')``, what GluonNLP's fine-tuning scripts ask for."""

from gluonnlp.data.classification import GlueTask
from mxnet.gluon.data import SimpleDataset
from mxnet.metric import Accuracy

from .. import registry
from ..data.losses import tell_missing_classes
from ..data.nli import NLI
from .snli import SNLI


@registry.task("SNLI")
class SNLITask(GlueTask):
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

    def __init__(self, root=None, files=None):
        super().__init__(
            class_labels=list(NLI.labels), metrics=Accuracy(), is_pair=True, label_alias=dict(NLI.label_alias)
        )
        self._root = root
        self._files = files or {}

    def get_dataset(self, segment="train"):
        """The labelled pairs of a segment.

        Parameters
        ----------
        segment : {'train', 'dev', 'test'}, default 'train'

        Returns
        -------
        SNLI
        """
        return SNLI(segment, root=self._root, file=self._files.get(segment))

    def dataset_train(self):
        """The training pairs; says so where a class has none.

        Returns
        -------
        tuple of (str, SNLI) : the segment name, and rows ``[premise, hypothesis, label]``.
        """
        segment, dataset = super().dataset_train()
        tell_missing_classes(dataset.path, set(dataset.labels), self.class_labels)
        return segment, dataset

    def dataset_test(self):
        """The test pairs without their labels, as GluonNLP's scripts expect of every test segment.

        Returns
        -------
        tuple of (str, SimpleDataset) : the segment name, and rows ``[premise, hypothesis]``.
        """
        test = self.get_dataset("test")
        return "test", SimpleDataset([row[:2] for row in test])
