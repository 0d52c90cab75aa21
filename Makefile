# make demo    show the platform at work          make test    all tests
# make check   format, lint, types, imports       make bench   the figures
#
# Each does its own set-up: a virtual environment in .venv, packages pinned by constraints.txt. Choose the interpreter
# with PYTHON=python3.12; hand arguments to pytest with PYTEST_ARGS='-k queue'.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(VENV)/.stamp-run
DEV := $(VENV)/.stamp-dev

export PYTHON

.PHONY: demo test check bench constraints help
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | head -n 5

demo: $(RUN)
	$(BIN)/waitline demo

test: $(DEV)
	@scripts/test-tools
	$(BIN)/pytest $(PYTEST_ARGS)

check: $(DEV)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

bench: $(DEV)
	PYTHONPATH=tests $(BIN)/python -m bench

constraints: $(DEV)
	$(BIN)/python scripts/constraints.py

$(RUN): pyproject.toml constraints.txt scripts/set-up
	scripts/set-up $@

$(DEV): pyproject.toml constraints.txt scripts/set-up
	scripts/set-up $@ test,check,postgres
	@touch $(RUN)
