"""What all parts of the GPU benchmark share: where programs compute, the pairs, the weights, the sizes, the time."""

import argparse
import os
import time
from pathlib import Path
from typing import Any, Dict, NamedTuple, Optional, Tuple

import gluonnlp_snli_plugin
from gluonnlp_snli_plugin import PluginError
from gluonnlp_snli_plugin.tasks.sample import sample_vocabulary

from .cards import Card, cards, cards_of_jax
from .race import environment
from .random_bert import write_random_bert
from .workspace import Workspace, packaged_checkpoint

MINILM, BASE, SMALL = "MiniLM", "BERT-base", "two layers of MiniLM's shape"
SHARED_PAIRS = Path("..", "shared", "data", "snli_mini")
# Layers, units and heads of those with random weights.
_SHAPES: Dict[str, Optional[Tuple[int, int, int]]] = {SMALL: (2, 384, 12), MINILM: None, BASE: (12, 768, 12)}
_TINY_SHAPES: Dict[str, Optional[Tuple[int, int, int]]] = {SMALL: (2, 16, 2), MINILM: (2, 16, 2), BASE: (2, 32, 2)}
_FIRST_WITH_BFLOAT16 = 8.0  # compute capability


class Sizes(NamedTuple):
    """How much is measured."""

    batch_sizes: Tuple[int, ...] = (32, 256)
    rounds: int = 3
    our_steps: int = 100  #: a round
    their_steps: int = 40
    our_warmup: int = 300  #: steps, in which batches of all lengths come
    their_warmup: int = 10
    epochs: int = 3  #: of a whole run
    updates: int = 20  #: of a run whose weights are compared
    nets: Tuple[Tuple[str, int], ...] = ((MINILM, 0), (BASE, 0), (BASE, 1), (MINILM, 1))  #: with which batch size
    pairs: Optional[int] = None  #: training pairs to use
    dev_pairs: Optional[int] = None
    max_len: int = 128
    script_max_len: int = 64  #: of GluonNLP's script, for which each further length is two programs to compile
    script_warmup: int = 40  #: steps of it; all its lengths are compiled at once


TINY = Sizes(
    batch_sizes=(4, 8),
    rounds=1,
    our_steps=3,
    their_steps=2,
    our_warmup=4,
    their_warmup=1,
    epochs=1,
    updates=6,
    nets=((MINILM, 0), (BASE, 1)),
    pairs=24,
    dev_pairs=8,
    max_len=16,  # a single length, so that few programs are compiled
    script_max_len=16,
    script_warmup=2,
)


class Deadline:
    """The end of a part's time."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds to go.

        Raises
        ------
        PluginError
            If there are none.
        """
        seconds = self._end - time.monotonic()
        if seconds <= 0:
            raise PluginError("not measured: the time for it was up")
        return seconds


class Setup:
    """Where and on what the benchmark runs.

    Parameters
    ----------
    folder : Path
        An empty folder for its files.
    options : Namespace

    Attributes
    ----------
    sizes : Sizes
    cards : list of Card
        The GPUs, none in a tiny run.
    low_precision : {'bfloat16', 'float16'}
        The faster precision that the GPU has.
    spaces : dict of str to Workspace
        By the name of a BERT, its weights and the pairs.

    Raises
    ------
    PluginError
        If there is no GPU, or pairs or weights cannot be used.
    """

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.folder, self._is_tiny = folder, options.tiny
        self.sizes = TINY if options.tiny else Sizes()
        self.cards = [] if options.tiny else cards() or cards_of_jax()
        if not self.cards and not options.tiny:
            raise PluginError("no NVIDIA GPU here: neither nvidia-smi nor JAX lists one (--tiny runs on CPU)")
        has_bfloat16 = options.tiny or float(self.cards[0].capability) >= _FIRST_WITH_BFLOAT16
        self.low_precision = "bfloat16" if has_bfloat16 else "float16"
        self._files = _pair_files(options.data, options.tiny)
        if options.tiny:
            source = folder / "vocabulary"
            source.mkdir()
            (source / "vocab.txt").write_text("\n".join(sample_vocabulary()) + "\n", encoding="utf-8")
        else:
            source = Path(options.minilm or packaged_checkpoint())
        shapes = _TINY_SHAPES if options.tiny else _SHAPES
        self.spaces = {}
        for name, shape in shapes.items():
            checkpoint = write_random_bert(folder / f"random-{len(self.spaces)}", source, *shape) if shape else source
            self.spaces[name] = self._space(f"space-{len(self.spaces)}", checkpoint)

    def _space(self, name: str, checkpoint: Path) -> Workspace:
        sizes, (train_file, dev_file) = self.sizes, self._files
        folder = self.folder / name
        folder.mkdir()
        options = argparse.Namespace(
            checkpoint=str(checkpoint),
            train_file=train_file,
            dev_file=dev_file,
            pairs=sizes.pairs,
            dev_pairs=sizes.dev_pairs,
            batch_size=sizes.batch_sizes[0],
            max_len=sizes.max_len,
        )
        return Workspace(folder, options)

    @property
    def card(self) -> Card:
        """The GPU that is measured; a tiny run has the CPU in its place."""
        return self.cards[0] if self.cards else Card("CPU", "", "", "")

    def device_settings(self, num_devices: int = 1) -> Dict[str, Any]:
        """The settings of this project by which it computes there."""
        numbers = range(num_devices)
        if self._is_tiny:
            return {"engine": "xla", "devices": ",".join(f"cpu:{number}" for number in numbers)}
        return {"gpus": ",".join(map(str, numbers))}

    def environment(self, space: Workspace, cache: str, **variables: str) -> Dict[str, str]:
        """The variables of a process.

        Parameters
        ----------
        space : Workspace
            Whose model store it uses.
        cache : str
            Processes with the same name here share the programs that XLA has compiled, and no others.
        **variables
            More of them.
        """
        found = environment(space.folder)
        if "PYTHONNOUSERSITE" not in os.environ:
            del found["PYTHONNOUSERSITE"]  # all that takes part is in one environment, perhaps the user's own
        package = str(Path(gluonnlp_snli_plugin.__file__).parents[1])
        found["PYTHONPATH"] = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
        found["JAX_COMPILATION_CACHE_DIR"] = str(self.folder / f"cache-{cache}")
        found["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # several processes share the GPU
        if self._is_tiny:
            found.update(JAX_PLATFORMS="cpu", CUDA_VISIBLE_DEVICES="")
        return {**found, **variables}


def _pair_files(folder: Optional[str], is_tiny: bool) -> Tuple[Optional[str], Optional[str]]:
    """The files with training and dev pairs; none for the embedded sample."""
    if folder is None and (is_tiny or not SHARED_PAIRS.is_dir()):
        return None, None
    place = Path(folder or SHARED_PAIRS)
    found = [sorted(place.glob(f"*{use}.jsonl")) for use in ("train", "dev")]
    if any(len(files) != 1 for files in found):
        raise PluginError(f"{place} must have one file *train.jsonl and one file *dev.jsonl")
    return str(found[0][0]), str(found[1][0])
