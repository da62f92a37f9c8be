# Everything a person or a machine runs on this project. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
CODE   := station policy hardware datasets tests
# Tests start many small processes: one torch thread each keeps them from fighting over the cores, and modules are
# compiled once for all of them.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/pytest
ARGS   ?=
# Tests that keep real time run one after the other in a worker of their own, before all others in urgency.
WORKERS ?= auto
SUITE   := $(PYTEST) -n $(WORKERS) --dist loadgroup

# A stamp per install: a second `make` is instant, a changed pyproject.toml or constraints.txt installs again.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.core: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing the station into $(VENV) (a few minutes the first time) ..."
	@$(PIP) -e .
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing the station and its test tools into $(VENV) (a few minutes the first time) ..."
	@$(PIP) -e '.[test,dev,formats]'
	@touch $@ $(VENV)/.core

# Every suite, those of keys and devices too: evdev is compiled, so this one needs gcc and Python's and Linux's headers.
$(VENV)/.hardware: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing the station with all device libraries and the Rerun writer into $(VENV) ..."
	@$(PIP) -e '.[test,dev,formats,robot,rerun]'
	@touch $@ $(VENV)/.test $(VENV)/.core

.PHONY: install install-test install-hardware demo test test-slow test-all check format clean help

install: $(VENV)/.core  ## the station and all it needs to run
	@echo "Ready: $(BIN)/station --help"

install-test: $(VENV)/.test  ## the same with everything that tests and checks need

install-hardware: $(VENV)/.hardware  ## the same with every device library; needs a compiler (apt install gcc python3-dev)

demo: $(VENV)/.core  ## watch a simulated arm being taught: demonstrations, training, then your keys
	@$(BIN)/station demo $(ARGS)

test: $(VENV)/.test  ## the quick tests (ARGS='-k replay' to choose); names at its end what it left out
	@$(SUITE) -m "not slow" $(ARGS)

test-slow: $(VENV)/.test  ## whole sessions and real training
	@$(SUITE) -m slow $(ARGS)

test-all: test test-slow  ## every test

check: $(VENV)/.test  ## format, lint, types, import contracts, the record of the extension API
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy $(CODE)
	@$(BIN)/lint-imports
	@$(BIN)/pytest -q -k recorded tests/station/extending/test_extending.py

format: $(VENV)/.test  ## put the code into the project's format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

clean:  ## remove the environment and caches; sessions stay
	@rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16
