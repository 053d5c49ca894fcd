# make test | make demo      each sets up first; a fresh machine needs python3 (3.11 or newer) with venv, and a package index
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO := build/demo
DEMO_COUNT ?= 60

.DEFAULT_GOAL := test
.PHONY: setup test lint types pytest prove demo clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "synthgen needs Python 3.11 or newer; name one with: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

test: lint types pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

pytest: setup
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest --numprocesses auto --dist loadfile

# The proofs that take longest: resuming bit for bit with every optimizer, at every point.
prove: setup
	$(BIN)/python -m pytest -m slow

# From nothing to a labelled set, in a folder that git ignores and that each demo starts afresh.
demo: setup
	rm -rf $(DEMO)
	mkdir -p $(DEMO)
	cd $(DEMO) && $(abspath $(BIN))/synthgen samples --kind shirt --one-product --count 40 --out shirts
	cd $(DEMO) && $(abspath $(BIN))/synthgen train-product --images shirts/
	cd $(DEMO) && run=$$($(abspath $(BIN))/synthgen generate --count $(DEMO_COUNT)) && \
		echo "The labelled set: $(DEMO)/$$run (metadata.csv, images/; open report.html to look at it)"

clean:
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache
