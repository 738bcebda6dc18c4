# Two commands for a newcomer: `make demo`, `make test`. All targets: `make help`.
PYTHON ?= python3
TORCH_INDEX ?=

BIN := .venv/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt
# as many processes as cores, each with one thread
EACH_CORE := OMP_NUM_THREADS=1 $(BIN)/pytest -n logical --maxprocesses 4 --dist worksteal
QUICK := not slow and not data and not ranks and not browser and not gpu

.PHONY: help demo test test-browser test-data test-ranks test-slow screenshots lint format clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

demo: .venv/base  ## install, then recognize digits that were never trained on
	$(BIN)/firstsight demo

test: .venv/dev  ## the quick tests: no data, no network, a few minutes
	$(EACH_CORE) -m "$(QUICK)"

test-data: .venv/dev  ## the tests on real data (../shared/data or $$FIRSTSIGHT_DATA)
	$(BIN)/pytest -m "data and not slow"

test-browser: .venv/dev  ## the pages in Chromium (apt install chromium)
	$(BIN)/pytest -m "browser and not data and not slow" tests/browser

test-ranks: .venv/dev  ## the tests that start several processes with torchrun
	$(BIN)/pytest -m "ranks and not slow"

test-slow: .venv/dev  ## the long figures
	$(BIN)/pytest -m slow

screenshots: .venv/dev  ## the pictures of the pages in docs/pages
	FIRSTSIGHT_SCREENSHOTS=docs/pages $(BIN)/pytest -m "browser and not data and not slow" tests/browser

lint: .venv/dev  ## style, types, rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy benchmarks
	$(BIN)/lint-imports --no-cache

format: .venv/dev  ## let ruff mend style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove .venv and runs
	rm -rf .venv runs

.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "firstsight needs Python 3.11 or newer: make demo PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .venv

# torch comes first and alone, so that TORCH_INDEX serves nothing else; what it needs comes with firstsight
.venv/torch: .venv/bin/pip constraints.txt
	@echo "Installing torch (see README.md for the size of the download) ..."
	$(PIP) --no-deps torch $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
	@touch $@

.venv/base: .venv/torch pyproject.toml
	@echo "Installing firstsight ..."
	$(PIP) -e .
	@touch $@

.venv/dev: .venv/base
	@echo "Installing what the tests need ..."
	$(PIP) -e ".[dev]"
	@touch $@
