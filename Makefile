# Everything is done inside .venv, which `make` builds from requirements.lock and keeps until that file changes.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
MIN_PYTHON := 3.11
TESTS_AT_ONCE ?= 2
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help venv demo demo-down test test-libraries test-faults check audit image fuzz format bench lock clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1|/' | column -t -s '|' 2>/dev/null \
	  || grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST)

venv: $(READY)  ## install everything into .venv

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < tuple(map(int, "$(MIN_PYTHON)".split("."))))' 2>/dev/null || { \
	  echo "Runtide needs Python $(MIN_PYTHON) or newer as '$(PYTHON)' (found: $$($(PYTHON) --version 2>/dev/null || echo none)). Try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "[1/3] virtual environment in $(VENV) ($$($(PYTHON) --version))"
	@rm -f $@
	@$(PYTHON) -m venv $(VENV) || { echo "python3 -m venv failed: install your system's python3-venv package" >&2; exit 1; }
	@echo "[2/3] packages of requirements.lock (1.7 GB on disk; a minute or a few, the first time)"
	@$(BIN)/python -m pip install --progress-bar off -r requirements.lock | awk -v all="$$(grep -c == requirements.lock)" \
	  '/^ *(Collecting|Requirement already)/ && ++n % 15 == 0 { printf "      %d of %d found\n", n, all; fflush() } \
	   /^Installing/ { print "      unpacking"; fflush() }'
	@echo "[3/3] runtide itself, editable"
	@$(BIN)/python -m pip install --quiet --no-deps -e .
	@touch $@

demo: $(READY)  ## start the stack, train real models, compare them, catch one that goes wrong
	@$(BIN)/runtide demo

demo-down: $(READY)  ## stop the stack that `make demo` left running
	@$(BIN)/runtide down

test: $(READY)  ## all tests, on the real stack; two files at a time (TESTS_AT_ONCE=N); what fails so, once more alone
	@$(BIN)/python -m pytest --numprocesses $(TESTS_AT_ONCE) --dist loadfile || $(BIN)/python -m tests.again $$?

test-libraries:  ## adapters and importers with the libraries that weigh gigabytes (torch, Keras, JAX, ...), in .venv-libraries
	@test -x $(VENV)-libraries/bin/python || $(PYTHON) -m venv $(VENV)-libraries
	@$(VENV)-libraries/bin/python -m pip install --quiet -r requirements-libraries.lock
	@$(VENV)-libraries/bin/python -m pip install --quiet --no-deps -e .
	@$(VENV)-libraries/bin/python -m pytest tests/libraries

test-faults: $(READY)  ## every part killed or stopped 200 times under load, and what was lost (three quarters of an hour)
	@$(BIN)/python -m benchmarks.faults

check: $(READY)  ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

audit: $(READY)  ## known vulnerabilities of what requirements.lock pins; without a network it says so
	@$(BIN)/python .ci/audit.py

image: $(READY)  ## the Dockerfile's steps in a plain folder, where there is no Docker engine
	@$(BIN)/python .ci/image.py

fuzz: $(READY)  ## what reads foreign bytes, by coverage-guided fuzzing (atheris), a minute for each part (docs/fuzzing.md)
	@$(BIN)/python -m pip install --quiet -e '.[fuzz]'
	@$(BIN)/python -m tests.fuzz --seconds 60

format: $(READY)  ## let ruff format and mend what it can
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

bench: $(READY)  ## measure: log(), ingest, freshness, queries, pages
	@$(BIN)/python -m benchmarks.log
	@$(BIN)/python -m benchmarks.ingest
	@$(BIN)/python -m benchmarks.freshness
	@$(BIN)/python -m benchmarks.queries
	@$(BIN)/python -m benchmarks.pages

lock: $(READY)  ## compile the lock files anew from pyproject.toml
	@$(BIN)/python -m pip install --quiet uv
	@for extra in dev libraries; do $(BIN)/uv pip compile --quiet --universal --python-version $(MIN_PYTHON) --upgrade \
	  --extra $$extra --no-header --no-emit-index-url --no-emit-find-links --annotation-style line pyproject.toml \
	  -o requirements$$(test $$extra = dev || echo -$$extra).lock; done

clean:  ## remove .venv and the caches of tools
	rm -rf $(VENV) $(VENV)-libraries .pytest_cache .mypy_cache .ruff_cache .hypothesis
