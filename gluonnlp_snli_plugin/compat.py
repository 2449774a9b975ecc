"""Repairs that let the retired toolkit run on today's Python packages.

Each repair names its upstream issue and applies only where it is needed. This module imports nothing but the standard
library, because it has to act before MXNet is imported: ``gluonnlp_snli_plugin.pth``, installed beside the package,
loads it at interpreter start, so that ``import gluonnlp`` works too when it comes before the plugin's own import.
"""

import sys

_REMOVED_NUMPY_ALIASES = {"bool": bool, "int": int, "float": float, "complex": complex, "object": object, "str": str}


def restore_numpy_aliases():
    """Put back ``np.bool`` and its kind, which NumPy 1.24 removed and MXNet 1.9.1 uses (apache/mxnet #21165)."""
    import numpy as np

    for name, builtin in _REMOVED_NUMPY_ALIASES.items():
        if name not in vars(np) and tuple(map(int, np.__version__.split(".")[:2])) >= (1, 24):
            setattr(np, name, builtin)


class _BeforeMXNet:
    """Finds no module, but restores the aliases when somebody starts to import MXNet.

    No ``importlib.abc`` base class: importing that would cost each interpreter start more than all the rest.
    """

    def find_spec(self, fullname, path=None, target=None):
        if fullname == "mxnet":
            restore_numpy_aliases()
        return None


def repair_numpy_when_mxnet_is_imported():
    """Defer :func:`restore_numpy_aliases` to the first ``import mxnet`` of this process."""
    sys.meta_path.insert(0, _BeforeMXNet())


def sentencepiece_call(original):
    """A ``SentencepieceTokenizer.__call__`` that does not ask for sampling where none is wanted.

    GluonNLP 0.10 calls ``SampleEncodeAsPieces(text, 0, alpha)`` by default and means "no sampling"
    (the call of dmlc/gluon-nlp #615); today's sentencepiece refuses that.

    Parameters
    ----------
    original : function
        GluonNLP's own method; it still does the sampling when ``num_best`` asks for it.
    """

    def __call__(self, sample):
        if self._nbest in (0, 1):
            # Half a character, which Python's str can hold and C++ cannot, is one that nobody knows.
            sample = sample.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
            return self._processor.EncodeAsPieces(sample)
        return original(self, sample)

    return __call__


def export(original):
    """A ``HybridBlock.export`` that writes the parameters of a ``SymbolBlock`` too that has not run yet.

    MXNet 1.9.1 leaves them all out, without a word (apache/mxnet #20577); GluonNLP's script exports a quantized net so.

    Parameters
    ----------
    original : function
        MXNet's own method.
    """

    def export(self, *args, **kwargs):
        has_run = bool(self._cached_op_args) or not self._cached_graph
        if has_run:
            return original(self, *args, **kwargs)
        self._cached_op_args = [(False, parameter) for parameter in self.collect_params().values()]
        try:
            return original(self, *args, **kwargs)
        finally:
            self._cached_op_args = []

    return export


def init_params(original):
    """A ``Trainer._init_params`` that waits until the weights have come from the parameter server.

    MXNet 1.9.1 pulls them in the background, under the keys that it then pushes gradients under: where the first push
    overtakes the pull, a rank starts from the sum of the gradients instead (never reported upstream).

    Parameters
    ----------
    original : function
        MXNet's own method.
    """

    def _init_params(self):
        original(self)
        if self._distributed:
            for parameter in self._params:
                for array in parameter._data or ():
                    array.wait_to_read()

    return _init_params
