"""Reads files that may be damaged, one case a line of standard input; answers each with a line on standard output.

Run by the fixture ``worker``. Its address space is limited, so that what claims to be huge cannot take the machine.
"""

import contextlib
import io
import json
import os
import resource
import shutil
import sys
import traceback
from pathlib import Path

import gluonnlp as nlp
import mxnet as mx
import numpy as np

from gluonnlp_snli_plugin import PluginError, activate, deactivate, import_bert, store
from gluonnlp_snli_plugin.cli import main
from gluonnlp_snli_plugin.evaluate.predictor import Predictor
from gluonnlp_snli_plugin.formats.gluonnlp_params.parameters import read_parameters
from gluonnlp_snli_plugin.formats.reading import load_finetuned
from gluonnlp_snli_plugin.text.tokenizer_settings import TokenizerSettings
from gluonnlp_snli_plugin.text.tokenizers import bert_tokenizer
from gluonnlp_snli_plugin.text.vocabulary import read_vocabulary

UNCASED = TokenizerSettings.gluonnlp(lower=True)

ROOM = 1 << 30  # bytes that all cases may take together


def parameters(path):
    return {name: array.asnumpy().tolist() for name, array in read_parameters(path).items()}


def vocabulary(path, texts=()):
    """Tokens, special ids, and the ids of some texts."""
    vocab, _ = read_vocabulary(path)
    special = [vocab[getattr(vocab, f"{kind}_token")] for kind in ("padding", "cls", "sep", "mask")]
    found = {"tokens": vocab.idx_to_token, "special": special}
    if texts:
        is_spiece = Path(path).suffix in (".model", ".spiece")
        tokenizer = bert_tokenizer(vocab, UNCASED, path if is_spiece else None)
        found["ids"] = [tokenizer.ids(text) for text in texts]
    return found


def imported(path, root, **options):
    """What import-bert makes of a file or folder: the names, the shapes and a sum of its parameters."""
    shutil.rmtree(root, ignore_errors=True)
    checkpoint = import_bert(path, "fuzz_uncased", root=root, **options)
    weights = mx.nd.load(str(store.store_root(root) / checkpoint.weights_file))
    return {
        "backbone": checkpoint.backbone,
        "hparams": checkpoint.hparams,
        "parameters": {name: array.asnumpy().tolist() for name, array in weights.items()},
    }


def answers(path, pairs, **options):
    """The answers of a fine-tuned model."""
    answers = Predictor(load_finetuned(path, **options), native=False)([tuple(pair) for pair in pairs])
    assert all(np.isfinite(list(answer.probabilities.values())).all() for answer in answers)
    return [answer.probabilities for answer in answers]


def pretrained(path, backbone, dataset_name):
    """Sizes of a BERT and its vocabulary that GluonNLP builds from the model store."""
    deactivate()  # forgets what other cases have registered
    activate()
    store.require(backbone, dataset_name, path)
    net, vocab = nlp.model.get_model(
        backbone, dataset_name=dataset_name, root=path, pretrained=True, use_decoder=False, use_classifier=False
    )
    outputs = net(mx.nd.ones((1, 3)), mx.nd.zeros((1, 3)), mx.nd.ones(1))
    return {"tokens": len(vocab), "shapes": [list(output.shape) for output in outputs]}


def command(path, arguments):
    """Exit status and standard error of a command that may use the tiny BERT; `path` is where that is."""
    if not store.checkpoints():
        import_bert(path, "tiny_uncased")
    with contextlib.redirect_stderr(io.StringIO()) as said, contextlib.redirect_stdout(io.StringIO()):
        status = main(arguments)
    return [status, said.getvalue()]


READERS = {reader.__name__: reader for reader in (parameters, vocabulary, imported, answers, pretrained, command)}


def memory(field):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field + ":")) / 1024


def peak_from_here():
    """Let the largest memory of this process count from now on."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def work():
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever C++ prints is no answer
    size = int(memory("VmSize") * (1 << 20)) + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        case = json.loads(line)
        reader = READERS[case.pop("what")]
        peak_from_here()
        before = memory("VmRSS")
        try:
            answer = {"result": reader(**case)}
        except PluginError as error:
            answer = {"refused": str(error)}
        except BaseException:
            answer = {"traceback": traceback.format_exc()}
        answer["mebibytes"] = round(memory("VmHWM") - before, 1)
        print(json.dumps(answer), file=answers, flush=True)


work()
