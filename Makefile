# `make demo` and `make test` need Python 3.11 or newer and nothing else; both make their own
# environment in .venv from the versions pinned in constraints.txt.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: help demo test test-slow browser lint bench docs tutorial pictures clean

help:
	@echo "make demo       search, retrain and compare on a synthetic click log (about 5 minutes)"
	@echo "make test       the fast tests"
	@echo "make test-slow  the slow tests: whole searches, killed and resumed"
	@echo "make browser    Chromium for the tests of the report (Debian, as root)"
	@echo "make lint       formatting, style and types"
	@echo "make bench      every figure of speed, written to docs/speed.md"
	@echo "make docs       the documentation as a site, in docs/_build, its links checked"
	@echo "make clean      remove the environment and the demo's run folder"

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "nasrec needs Python 3.11 or newer; name one with: make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: .venv/installed
	$(BIN)/nasrec demo --out demo-run

# Tensors in tests are small: a process on each core is faster than threads in one.
test: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto

test-slow: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto -m slow

# The tests of the report in a browser are skipped where there is none.
browser:
	@command -v chromium && command -v chromedriver \
		|| { apt-get update -qq && apt-get install -y -qq --no-install-recommends \
			chromium chromium-driver >/dev/null; }

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/installed
	$(BIN)/python -m benchmarks all --page docs/speed.md

docs: .venv/installed
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build
	$(BIN)/python docs/_ext/links.py docs/_build
	@echo "open docs/_build/index.html"

# What the tutorial quotes, and the pictures, made again.
tutorial: .venv/installed
	$(BIN)/python -m tests.tutorial

pictures: .venv/installed
	$(BIN)/python docs/_ext/pictures.py

clean:
	rm -rf .venv demo-run docs/_build
