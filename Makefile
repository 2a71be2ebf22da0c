# Everything that this course needs. On a fresh machine with Python 3.11 to 3.14, git and make: `make lab` or `make test`.

VENV := .venv
BIN := $(VENV)/bin
CPU_TORCH := https://download.pytorch.org/whl/cpu

# The newest that fits, unless you say which: make lab PYTHON=/path/to/python3.12. It can make a virtual environment, for which
# Debian has a package of its own; and where torch's wheel is already here (PIP_FIND_LINKS), one that is for it goes first.
TORCH_VERSION := $(shell sed -n 's/^torch==\([^ ]*\).*/\1/p' requirements.lock)
TORCH_WHEELS := $(foreach folder,$(PIP_FIND_LINKS),$(wildcard $(folder)/torch-$(TORCH_VERSION)*))
FITS := import sys, ensurepip, venv; version = sys.version_info[:2]; wheels = sys.argv[1:]; \
	sys.exit(not (3, 11) <= version <= (3, 14) or bool(wheels) and "-cp%d%d-" % version not in "".join(wheels))
PYTHON ?= $(shell for wheels in '$(TORCH_WHEELS)' ''; do \
	for name in python3.14 python3.13 python3.12 python3.11 python3 python; do \
		$$name -c '$(FITS)' $$wheels 2>/dev/null && echo $$name && exit; done; done)

# In a container one is often root, which Jupyter accepts only when told so.
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

.DEFAULT_GOAL := help
.PHONY: help lab setup setup-tests test test-code test-notebooks check lint notebooks ledger study lock

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

lab: $(VENV)/.setup-lab  ## set up, then open JupyterLab on your own copy of lesson 00
	@$(BIN)/python -m tools.copies
	$(BIN)/jupyter lab $(AS_ROOT) my_notebooks/$(notdir $(wildcard learn/00_*.ipynb))

setup: $(VENV)/.setup-lab  ## set up what a learner needs, in .venv
setup-tests: $(VENV)/.setup-tests  ## set up what writing and testing lessons needs as well

PYTEST := $(BIN)/python -m pytest --durations=20
NBVAL := --nbval --nbval-cell-timeout=280 --nbval-sanitize-with=tests/nbval_masks.cfg notebooks

test: lint  ## set up, then run everything that continuous integration runs
	$(PYTEST) tests $(NBVAL)

test-code: $(VENV)/.setup-tests  ## of that, the tests of the code
	$(PYTEST) tests

test-notebooks: $(VENV)/.setup-tests  ## of that, the notebooks: run again, and compared with what they store
	$(PYTEST) $(NBVAL)

check: lint  ## lint, types and the quick tests, in about a minute
	$(BIN)/python -m pytest tests -q -m "not slow and not browser and not peers"

lint: $(VENV)/.setup-tests  ## lint and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

notebooks: $(VENV)/.setup-tests  ## build and execute notebooks/ from lessons/, learn/ without results; NAMES="00_two_ways ..." for some
	$(BIN)/python -m tools.notebooks build $(NAMES)

ledger: $(VENV)/.setup-tests  ## write the verdicts of all notebooks into the README and docs/ledger.md
	$(BIN)/python -m tools.ledger

study: $(VENV)/.setup-lab  ## run the head-to-head study behind lesson 15 again, stop by stop; goes on where it was interrupted (FAST=1: two minutes)
	$(BIN)/python benchmarks/head_to_head.py $(if $(FAST),--fast)

lock: $(VENV)/.setup-lock  ## pin every version anew, keeping what still fits (UPGRADE=1: the newest)
	$(VENV)/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --all-extras $(if $(UPGRADE),--upgrade) \
		--custom-compile-command "make lock" pyproject.toml -o requirements.lock
	$(VENV)/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --extra lab --constraint requirements.lock \
		--no-annotate pyproject.toml -o $(VENV)/lock/learners.txt
	$(VENV)/lock/bin/python tools/environments.py $(VENV)/lock/learners.txt

$(BIN)/python:
	@test -n "$(PYTHON)" && $(PYTHON) -c '$(FITS)' || { \
		echo "The course needs Python 3.11 to 3.14 with its venv, and found: $$($(or $(PYTHON),python3) --version 2>&1)."; \
		echo "Install one (Debian, Ubuntu: apt install python3-venv), or say where it is: make PYTHON=/path/to/python3.13"; \
		exit 1; }
	$(PYTHON) -m venv $(VENV)

# torch comes first and alone: the default registry's build for Linux is for GPUs and brings several GB of libraries.
# A wheel that is already here (PIP_FIND_LINKS) needs no index. macOS has one build only, without "+cpu" in its name.
# PIP_BUILD_CONSTRAINT pins what packages are built with, as PIP_CONSTRAINT does for pip before 25.3.
TORCH := torch==$(TORCH_VERSION)$(if $(filter Linux,$(shell uname)),+cpu)
PINNED := PIP_CONSTRAINT=requirements.lock PIP_BUILD_CONSTRAINT=requirements.lock PIP_DISABLE_PIP_VERSION_CHECK=1
define install
	@echo "Setting up .venv: a few minutes the first time."
	@$(BIN)/pip install --quiet --no-deps --no-index '$(TORCH)' 2>/dev/null \
		|| $(BIN)/pip install --no-deps --extra-index-url $(CPU_TORCH) '$(TORCH)' \
		|| { echo "torch's CPU build could not be fetched from $(CPU_TORCH): connect to the internet, or set PIP_FIND_LINKS"; \
			echo "to a folder that holds its wheel, then run make again."; exit 1; }
	$(PINNED) $(BIN)/pip install -e '.$(1)'
endef

$(VENV)/.setup-lab: pyproject.toml requirements.lock | $(BIN)/python
	$(call install,[lab])
	@touch $@

EVERYTHING := [lab,dev,peers]
$(VENV)/.setup-tests: pyproject.toml requirements.lock | $(BIN)/python
	$(call install,$(EVERYTHING))
	@touch $(VENV)/.setup-lab $@

# An environment of its own: the lock can be made anew even when the old one no longer fits.
$(VENV)/.setup-lock: requirements.lock | $(BIN)/python
	$(PYTHON) -m venv $(VENV)/lock
	$(PINNED) $(VENV)/lock/bin/pip install --quiet uv packaging
	@touch $@
