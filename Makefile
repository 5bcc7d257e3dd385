# make demo   train on the embedded photographs of clothes: model, figures and a comparison with PCA, in minutes
# make test   the whole test suite
# Both make their own virtual environment in .venv if there is none. Another place: make test VENV=/some/where

SHELL := /bin/bash
VENV ?= .venv
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
WORKERS ?= 2
DEMO ?= runs/demo
DEMO_ARGUMENTS ?=
SITE ?= site
PY = $(VENV)/bin/python
# one thread per worker: two workers that both take every core are slower than one
ONE = OMP_NUM_THREADS=1 MPLBACKEND=Agg
.PHONY: demo test quick check lint types floors docs examples package format install install-dev clean
.DEFAULT_GOAL := help

help:
	@grep -E '^# make' Makefile | sed 's/^# //'
	@echo "make quick / lint / types / floors / docs / examples / package: single checks;  make check: all of them"

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "narrows needs Python 3.11 or newer; none was found. Try: make PYTHON=/path/to/python3" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV) || { rm -f $@; exit 1; }

# the stamps say which installation is up to date; touching them comes last, so that a broken one is begun again
$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PY) -m pip install --disable-pip-version-check -q -e . -c constraints.txt
	touch $@

$(VENV)/.installed-dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PY) -m pip install --disable-pip-version-check -q -e '.[dev]' -c constraints.txt
	touch $(VENV)/.installed $@

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev

demo: $(VENV)/.installed
	$(VENV)/bin/narrows fit fashion --code-size 16 --time-budget 90s --out $(DEMO) --force $(DEMO_ARGUMENTS)

test: $(VENV)/.installed-dev
	$(ONE) $(PY) -m pytest -n $(WORKERS)

quick: $(VENV)/.installed-dev
	$(ONE) $(PY) -m pytest -n $(WORKERS) -m "not slow"

lint: $(VENV)/.installed-dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

types: $(VENV)/.installed-dev
	$(PY) -m mypy

floors: $(VENV)/.installed-dev
	$(VENV)/bin/lint-imports

docs: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --site-dir $(SITE)

examples: $(VENV)/.installed-dev
	set -e; for script in examples/*.py; do echo "== $$script"; $(ONE) $(PY) $$script; done

package: $(VENV)/.installed-dev
	$(PY) scripts/check_package.py

check: lint types floors docs test examples package

format: $(VENV)/.installed-dev
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

clean:
	rm -rf $(VENV) site dist runs/demo .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
