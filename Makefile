# Two commands on a fresh machine with Python 3.10 to 3.13: `make demo` and `make test`.
# Both make a virtual environment in .venv the first time; a second call starts at once.

VENV ?= .venv
SOURCE ?= .
ARGS ?=

# The first python3 that TensorFlow has wheels for and that can make a virtual environment; or name one: make test PYTHON=...
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python3.10; do \
	if $$python -c $(suitable) >/dev/null 2>&1; then echo $$python; break; fi; done)
suitable = 'import ensurepip, sys, venv; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))'
python = $(VENV)/bin/python
install = $(python) -m pip install --quiet $(if $(filter .,$(SOURCE)),--editable) "$(SOURCE)$(1)"

.PHONY: help demo test bench check lint format types clean

help:
	@echo "make demo    answer questions from the bundled passages"
	@echo "make test    run the tests; ARGS=tests/models runs a part of them"
	@echo "make bench   measure encoding beside other engines; ARGS='question load --rounds 9' other cases"
	@echo "make check   lint, formatting and types, as pre-commit does"
	@echo "make clean   remove the virtual environment"

demo: $(VENV)/installed
	$(VENV)/bin/dpr-tf demo

test: $(VENV)/installed-test
	$(python) -m pytest -n auto --maxprocesses 4 --dist worksteal $(ARGS)

bench: $(VENV)/installed-test
	$(python) tools/bench/run.py $(or $(ARGS),encode)

check: lint format types

lint: $(VENV)/installed-dev
	$(python) -m ruff check

format: $(VENV)/installed-dev
	$(python) -m ruff format --check

types: $(VENV)/installed-dev
	$(python) -m mypy

clean:
	rm -rf $(VENV)

$(VENV)/installed: pyproject.toml | $(python)
	$(call install,[sparse])
	@touch $@

$(VENV)/installed-test: pyproject.toml | $(python)
	$(call install,[test])
	@touch $@ $(VENV)/installed

$(VENV)/installed-dev: pyproject.toml | $(python)
	$(call install,[dev])
	@touch $@ $(VENV)/installed $(VENV)/installed-test

$(python):
	@if [ -z "$(PYTHON)" ] || ! $(PYTHON) -c $(suitable); then \
		echo "dpr_tf needs Python 3.10 to 3.13 with venv; found: $(or $(PYTHON),none)." >&2; \
		echo "Debian, Ubuntu: apt-get install python3 python3-venv    macOS: brew install python@3.12" >&2; \
		echo "Or name one yourself: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; \
		exit 1; \
	fi
	$(PYTHON) -m venv $(VENV)
