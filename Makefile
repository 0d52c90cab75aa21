# make demo    show the platform at work          make test    all tests
# make check   format, lint, types, imports       make bench   the figures
# make chaos   kill control under live calls      make fuzz    ten minutes of any bytes
# make attack  attack a platform under live calls make disturb  every datagram and webhook of the main job, disturbed
#
# Each does its own set-up: a virtual environment in .venv, packages pinned by constraints.txt. Choose the interpreter
# with PYTHON=python3.12; hand arguments on with PYTEST_ARGS='-k queue', CHAOS_ARGS='--kills 5', FUZZ_ARGS='--seconds 60'.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(VENV)/.stamp-run
DEV := $(VENV)/.stamp-dev
FUZZ := $(VENV)/.stamp-fuzz

export PYTHON

.PHONY: demo test check bench bench-readme chaos fuzz attack disturb golden constraints help
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | head -n 7

demo: $(RUN)
	$(BIN)/waitline demo

test: $(DEV)
	@scripts/test-tools
	scripts/run-tests $(PYTEST_ARGS)

check: $(DEV)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

bench: $(DEV)
	PYTHONPATH=tests $(BIN)/python -m bench

bench-readme: $(DEV)
	PYTHONPATH=tests $(BIN)/python -m bench.readme

chaos: $(DEV)
	PYTHONPATH=tests timeout -k 30 3600 $(BIN)/python -m chaos $(CHAOS_ARGS)

fuzz: $(FUZZ)
	PYTHONPATH=tests timeout -k 30 7200 $(BIN)/python -m fuzz $(FUZZ_ARGS)

golden: $(DEV)
	GOLDEN=write $(BIN)/pytest -q tests/stories/test_golden_traces.py
	git --no-pager diff --stat tests/golden

attack: $(DEV)
	PYTHONPATH=tests timeout -k 30 900 $(BIN)/python -m attack $(ATTACK_ARGS)

disturb: $(DEV)
	DISTURB_ALL=1 $(BIN)/pytest -q tests/stories/test_every_datagram.py tests/stories/test_every_webhook.py tests/stories/test_a_whole_day.py

constraints: $(FUZZ)
	$(BIN)/python scripts/constraints.py

$(RUN): pyproject.toml constraints.txt scripts/set-up
	scripts/set-up $@

$(DEV): pyproject.toml constraints.txt scripts/set-up
	scripts/set-up $@ test,check,postgres,srtp
	@touch $(RUN)

$(FUZZ): pyproject.toml constraints.txt scripts/set-up
	scripts/set-up $@ test,check,postgres,fuzz
	@touch $(RUN) $(DEV)
