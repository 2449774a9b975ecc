"""Repairs that let the retired toolkit run on today's Python packages.

Each repair says what fails, where, and which upstream issue it belongs to. Those for NumPy and Python act on modules of
MXNet and GluonNLP while these are imported; NumPy itself stays as it is for all other code. This file needs nothing
but the standard library, and little of that: ``gluonnlp_snli_plugin.pth``, installed beside the package, runs it by
path at interpreter start, so that ``import gluonnlp`` works too when it comes before the plugin's own import.
"""

import sys

TYPE_CHECKING = False  # what typing's says to type checkers, without an import
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any, Callable, Dict, Optional, Sequence, Tuple

    Repair = Callable[[ModuleType], None]

# While MXNet and GluonNLP are imported --------------------------------------------------------------------------------


class _Finder:
    """Repairs modules of MXNet and GluonNLP that the other finders find.

    No ``importlib.abc`` base class: importing that would cost each interpreter start more than all the rest.
    """

    repairs_mxnet = True  # by which one copy of this module, which the .pth file runs, is known to the other

    def find_spec(self, fullname: str, path: "Any" = None, target: "Any" = None) -> "Any":
        if fullname not in _REPAIRS:
            return None
        for finder in sys.meta_path:
            if finder is not self and hasattr(finder, "find_spec"):
                spec = finder.find_spec(fullname, path, target)
                if spec is not None:
                    spec.loader = _Loader(spec.loader, *_REPAIRS[fullname])  # type: ignore[assignment]
                    return spec
        return None


class _Loader:
    """Another loader, with a repair before and one after it executes a module; either may be None."""

    def __init__(self, loader: "Any", before: "Optional[Repair]", after: "Optional[Repair]") -> None:
        self._loader, self._before, self._after = loader, before, after

    def __getattr__(self, name: str) -> "Any":
        return getattr(self._loader, name)

    def exec_module(self, module: "Any") -> None:
        module.__loader__ = module.__spec__.loader = self._loader
        if self._before is not None:
            self._before(module)
        self._loader.exec_module(module)
        if self._after is not None:
            self._after(module)


def repair_numpy_when_mxnet_is_imported() -> None:
    """Repair the modules of MXNet and GluonNLP when they are imported; a second call changes nothing."""
    if not any(hasattr(finder, "repairs_mxnet") for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


# What NumPy and Python have removed -----------------------------------------------------------------------------------


def _import_what_is_gone(module: "ModuleType") -> None:
    """Let a module import NumPy as it was, and the parts of distutils and pkg_resources that it needs.

    Python 3.12 removed distutils, and setuptools 82 pkg_resources. Only for modules that need it as they are imported:
    what their functions call in C imports by the same ``__import__``.
    """
    numpy = _numpy_as_it_was()

    def find(name: str, import_it: "Callable[[], Any]") -> "Any":
        if name in ("distutils.version", "pkg_resources"):
            return _Versions
        imported = import_it()
        return numpy if imported is sys.modules.get("numpy") else imported

    _import_by(module, find)


def _import_by(module: "ModuleType", find: "Callable[[str, Callable[[], Any]], Any]") -> None:
    """Let a module import what `find` returns for the name of a module and a function that does import it.

    A module may have built-in functions of its own, ``__import__`` among them (see ``exec`` in Python's manual): no
    other module sees the difference.
    """
    import builtins

    def __import__(
        name: str, globals: "Any" = None, locals: "Any" = None, fromlist: "Sequence[str]" = (), level: int = 0
    ) -> "Any":
        return find(name, lambda: builtins.__import__(name, globals, locals, fromlist, level))

    vars(module)["__builtins__"] = {**vars(builtins), "__import__": __import__}


def _both(first: "Repair", second: "Repair") -> "Repair":
    def repair(module: "ModuleType") -> None:
        first(module)
        second(module)

    return repair


def _call_what_is_gone(module: "ModuleType") -> None:
    """Let a module that has been imported call NumPy as it was."""
    numpy = _numpy_as_it_was()
    for name, value in list(vars(module).items()):
        if value is sys.modules["numpy"]:
            setattr(module, name, numpy)


def _call_what_is_gone_in_test_utils(mxnet: "Any") -> None:
    """The same for ``mxnet.test_utils``, which under pytest no other finder sees: it takes whatever is named test_*."""
    _call_what_is_gone(mxnet.test_utils)


class _Versions:
    """What MXNet needs of ``distutils.version`` and GluonNLP of ``pkg_resources``."""

    @staticmethod
    def parse_version(text: str) -> "Any":
        import re

        return [int(number) for number in re.findall(r"\d+", text)]

    StrictVersion = LooseVersion = parse_version


def _copy_of(module: "ModuleType", **names: "Any") -> "Any":
    """A module with other names besides, or instead; its own ``__getattr__`` finds what it loads on demand."""
    copy = type(sys)(module.__name__)
    vars(copy).update(vars(module), **names)
    return copy


def _numpy_as_it_was() -> "Any":
    """NumPy with what MXNet 1.9.1 uses of it.

    Names went in NumPy 1.20 (NEP 32), 1.24 (apache/mxnet #21165) and 2.0 to 2.4 (NEP 52); ``np.bool`` is back since 2.0
    with another meaning.
    """
    from types import SimpleNamespace

    import numpy as np

    def in1d(ar1: "Any", ar2: "Any", **kwargs: "Any") -> "Any":
        return np.isin(np.ravel(ar1), ar2, **kwargs)

    def msort(a: "Any") -> "Any":
        return np.sort(a, axis=0)

    def like(name: str) -> "Callable[..., Any]":
        return lambda *args, **kwargs: getattr(np, name)(*args, **kwargs)

    def expired(name: str) -> "Callable[..., Any]":
        def function(*args: "Any", **kwargs: "Any") -> "Any":
            raise RuntimeError(f"NumPy 1.20 removed {name}: use the package numpy_financial instead")

        return function

    names: Dict[str, Any] = {
        "Inf": np.inf,
        "PINF": np.inf,
        "NINF": -np.inf,
        "NAN": np.nan,
        "NaN": np.nan,
        "PZERO": 0.0,
        "NZERO": -0.0,
        "in1d": in1d,
        "msort": msort,
        # MXNet enters some under the function itself as a key: these must be others than the ones they are like.
        "alltrue": like("all"),
        "sometrue": like("any"),
        "product": like("prod"),
        "round_": like("round"),
        "trapz": like("trapezoid"),
        "compat": SimpleNamespace(basestring=str),
        **{name: expired(name) for name in ("mirr", "npv", "pmt", "ppmt", "pv", "rate")},
    }
    names = {name: value for name, value in names.items() if name not in vars(np)}
    if hasattr(np.lib, "array_utils"):  # NumPy 2, where np.core only warns
        names["core"] = SimpleNamespace(
            numeric=SimpleNamespace(normalize_axis_tuple=np.lib.array_utils.normalize_axis_tuple)
        )
    return _copy_of(np, **names, bool=bool, int=int)


# What takes long to import --------------------------------------------------------------------------------------------


class _SciPy:
    """A module of SciPy that is imported when a name in it is first used."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> "Any":
        import importlib

        return getattr(importlib.import_module(self._name), name)


class _SparseSciPy(_SciPy):
    """``scipy.sparse``, which is not imported to see that an array is not one of its own."""

    class _NotImported:
        csr_matrix = ()  # of which nothing is an instance

    @property
    def csr(self) -> "Any":
        """Where MXNet looks for ``csr_matrix``; SciPy 2 is to remove ``scipy.sparse.csr``."""
        return sys.modules.get(self._name, self._NotImported)


def _import_scipy_late(module: "ModuleType") -> None:
    """Let a module import SciPy, where it is installed, without loading it.

    MXNet needs it for SciPy's own sparse arrays and for calibration by entropy, and loading it takes half as long as
    loading MXNet.
    """
    from types import SimpleNamespace

    scipy = SimpleNamespace(sparse=_SparseSciPy("scipy.sparse"), stats=_SciPy("scipy.stats"))

    def find(name: str, import_it: "Callable[[], Any]") -> "Any":
        if name.split(".")[0] == "scipy":
            from importlib.util import find_spec

            if find_spec("scipy") is not None:
                return scipy
        return import_it()

    _import_by(module, find)


# What NumPy 2.4 refuses to convert ------------------------------------------------------------------------------------


def _convert_one_element_of_any_shape(module: "Any") -> None:
    """Let ``int``, ``float``, ``%d`` and the like convert arrays of one element that come from MXNet.

    NumPy 1.25 deprecated this for arrays that have dimensions, and NumPy 2.4 refuses it. MXNet's calibration by entropy
    does it with its thresholds, GluonNLP's finetune_classifier.py with each row of ``topk(...).asnumpy()``, and many
    programs with ``loss.asscalar()``, which has the shape (1, 1) if the loss has.
    """
    import functools
    import warnings

    import numpy as np

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            int(np.zeros(1))
        return
    except TypeError:
        pass

    class ArrayOfMXNet(np.ndarray):
        """An array of NumPy; its views and copies, and what NumPy's operators compute from it, have this class too."""

        def __int__(self) -> int:
            return int(self._without_dimensions())

        def __float__(self) -> float:
            return float(self._without_dimensions())

        def __complex__(self) -> complex:
            return complex(self._without_dimensions())

        def _without_dimensions(self) -> "Any":
            """The element as an array of shape (); all elements, which NumPy will refuse, if there is not just one."""
            plain = self.view(np.ndarray)
            return plain.reshape(()) if plain.size == 1 else plain

        def __repr__(self) -> str:
            return repr(self.view(np.ndarray))

        def __array_wrap__(self, result: "Any", context: "Any" = None, return_scalar: bool = False) -> "Any":
            """A total is a scalar, as that of a plain array is; by default it would be an array of this class."""
            return result[()] if return_scalar else super().__array_wrap__(result, context)

        def __reduce_ex__(self, protocol: "Any") -> "Any":
            """Pickle a plain array, which any program can read."""
            return self.view(np.ndarray).__reduce_ex__(protocol)

    asnumpy = module.NDArray.asnumpy

    @functools.wraps(asnumpy)
    def asnumpy_that_converts(self: "Any") -> "Any":
        return asnumpy(self).view(ArrayOfMXNet)

    module.NDArray.asnumpy = asnumpy_that_converts


# What NumPy 2 prints or computes in another way -----------------------------------------------------------------------


def _on_numpy_2(repair: "Callable[[Any], None]") -> "Repair":
    """A repair that changes nothing on older NumPy."""

    def repair_on_numpy_2(module: "ModuleType") -> None:
        import numpy

        if int(numpy.__version__.split(".")[0]) >= 2:
            repair(module)

    return repair_on_numpy_2


@_on_numpy_2
def _print_numbers_as_before(module: "Any") -> None:
    """Shapes and learning rates reach the C++ side as text, ``(2, 3)``, not ``(np.int64(2), 3)`` (NEP 51)."""
    import re

    c_str, c_str_array = module.c_str, module.c_str_array
    number = re.compile(r"\bnp\.(?:\w+\(([^()]*)\)|(True|False)_\b)")

    def plain(text: str) -> str:
        return number.sub(r"\1\2", text) if "np." in text and text[0] in "([" else text

    module.c_str = lambda string: c_str(plain(string))
    module.c_str_array = lambda strings: c_str_array([plain(string) for string in strings])


@_on_numpy_2
def _add_up_in_64_bits(module: "Any") -> None:
    """Metrics add NumPy's scalars to Python's numbers, which keeps float32 and int32 since NEP 50: sums lose digits."""
    import numpy as np

    def total(name: str) -> property:
        def load(self: "Any") -> "Any":
            try:
                return vars(self)[name]
            except KeyError:
                raise AttributeError(f"{type(self).__name__} has no {name} yet") from None

        def store(self: "Any", value: "Any") -> None:
            if isinstance(value, np.generic):
                value = value.astype(np.promote_types(value.dtype, np.int64))
            vars(self)[name] = value

        return property(load, store)

    for name in ("sum_metric", "num_inst", "global_sum_metric", "global_num_inst"):
        setattr(module.EvalMetric, name, total(name))


@_on_numpy_2
def _scale_in_64_bits(module: "Any") -> None:
    """LARS and LBSGD multiply Python's numbers by a norm, which keeps its float32 since NEP 50."""
    import numpy as np

    def in_64_bits(norm: "Callable[..., Any]") -> "Callable[..., Any]":
        return lambda *args, **kwargs: np.float64(norm(*args, **kwargs))

    for optimizer in (module.LARS, module.LBSGD):
        optimizer._l2norm = in_64_bits(optimizer._l2norm)


@_on_numpy_2
def _find_ranges_in_64_bits(module: "Any") -> None:
    """Calibration by entropy divides the largest number of a layer, which keeps its float32 since NEP 50."""
    np = module.np
    module.np = _copy_of(np, min=lambda array: float(np.min(array)), max=lambda array: float(np.max(array)))


@_on_numpy_2
def _pad_with_what_wraps_around(module: "Any") -> None:
    """Padding ``uint8`` with -1 gives 255, which NumPy 2 refuses for Python's numbers (NEP 50)."""
    np = module.np

    def full(shape: "Any", fill_value: "Any", dtype: "Any") -> "Any":
        return np.full(shape, np.array(fill_value).astype(dtype), dtype)

    module.np = _copy_of(np, full=full)


def _hash_bytes_above_127(module: "Any") -> None:
    """FastText's hash calls ``np.int8(200)``: NumPy 1.24 warns of it, NumPy 2 refuses it (never reported upstream)."""
    import numpy as np

    if type(module._fasttext_hash) is not type(_on_numpy_2):
        return  # Numba has compiled it, by rules of its own

    def _fasttext_hash(ngram: "Any") -> "Any":
        hashed = 2166136261
        for byte in ngram:
            hashed = (hashed ^ (byte if byte < 128 else byte | 0xFFFFFF00)) * 16777619 & 0xFFFFFFFF
        return np.uint32(hashed)

    module._fasttext_hash = _fasttext_hash


_REPAIRS: "Dict[str, Tuple[Optional[Repair], Optional[Repair]]]" = {
    # module: (what happens before it is executed, what happens after)
    "mxnet": (None, _call_what_is_gone_in_test_utils),
    "mxnet.base": (None, _print_numbers_as_before),
    "mxnet.contrib.quantization": (_import_scipy_late, _find_ranges_in_64_bits),
    "mxnet.gluon.contrib.estimator.event_handler": (_import_what_is_gone, None),
    "mxnet.metric": (None, _add_up_in_64_bits),
    "mxnet.ndarray.ndarray": (None, _both(_call_what_is_gone, _convert_one_element_of_any_shape)),
    "mxnet.ndarray.numpy._op": (None, _call_what_is_gone),
    "mxnet.ndarray.sparse": (_import_scipy_late, None),
    "mxnet.ndarray.utils": (_import_scipy_late, None),
    "mxnet.numpy.fallback": (_import_what_is_gone, None),
    "mxnet.numpy.multiarray": (None, _call_what_is_gone),
    "mxnet.numpy.utils": (_import_what_is_gone, None),
    "mxnet.numpy_dispatch_protocol": (_import_what_is_gone, None),
    "mxnet.numpy_op_fallback": (_import_what_is_gone, None),
    "mxnet.optimizer.optimizer": (None, _scale_in_64_bits),
    "mxnet.symbol.numpy._symbol": (None, _call_what_is_gone),
    "mxnet.test_utils": (_import_scipy_late, None),
    "gluonnlp.data.batchify.batchify": (None, _pad_with_what_wraps_around),
    "gluonnlp.data.transforms": (_import_what_is_gone, None),
    "gluonnlp.vocab.subwords": (None, _hash_bytes_above_127),
}


# While the plugin is active: functions that registry.py puts in the place of the hosts' own ---------------------------


def sentencepiece_call(original: "Callable[..., Any]") -> "Callable[..., Any]":
    """A ``SentencepieceTokenizer.__call__`` that does not ask for sampling where none is wanted.

    GluonNLP 0.10 calls ``SampleEncodeAsPieces(text, 0, alpha)`` by default and means "no sampling"
    (the call of dmlc/gluon-nlp #615); today's sentencepiece refuses that.

    Parameters
    ----------
    original : function
        GluonNLP's own method; it still does the sampling when ``num_best`` asks for it.
    """

    def __call__(self: "Any", sample: str) -> "Any":
        if self._nbest in (0, 1):
            # A lone surrogate, which Python's str can hold and C++ cannot, becomes an unknown character.
            sample = sample.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
            return self._processor.EncodeAsPieces(sample)
        return original(self, sample)

    return __call__


def export(original: "Callable[..., Any]") -> "Callable[..., Any]":
    """A ``HybridBlock.export`` that writes the parameters of a ``SymbolBlock`` too that has not run yet.

    MXNet 1.9.1 silently leaves them all out (apache/mxnet #20577); GluonNLP's script exports a quantized net so.

    Parameters
    ----------
    original : function
        MXNet's own method.
    """

    def export(self: "Any", *args: "Any", **kwargs: "Any") -> "Any":
        has_run = bool(self._cached_op_args) or not self._cached_graph
        if has_run:
            return original(self, *args, **kwargs)
        self._cached_op_args = [(False, parameter) for parameter in self.collect_params().values()]
        try:
            return original(self, *args, **kwargs)
        finally:
            self._cached_op_args = []

    return export


def init_params(original: "Callable[..., Any]") -> "Callable[..., Any]":
    """A ``Trainer._init_params`` that waits until the weights have come from the parameter server.

    MXNet 1.9.1 pulls them in the background, under the keys that it then pushes gradients under: where the first push
    overtakes the pull, a rank starts from the sum of the gradients instead (never reported upstream).

    Parameters
    ----------
    original : function
        MXNet's own method.
    """

    def _init_params(self: "Any") -> None:
        original(self)
        if self._distributed:
            for parameter in self._params:
                for array in parameter._data or ():
                    array.wait_to_read()

    return _init_params
