# make demo    show the platform at work          make test    all tests
# make check   format, lint, types, imports       make bench   the figures
# make chaos   kill control under live calls      make fuzz    ten minutes of any bytes
# make attack  attack a platform under live calls make disturb  every datagram and webhook of the main job, disturbed
# make bench-quick  ratios to the floor, beside the committed ones    make profile  where the time goes
# make bench-docs   docs/performance.md and docs/capacity.md from the last make bench     make figures  all of these
#
# Each does its own set-up: a virtual environment in .venv, packages pinned by constraints.txt. Choose the interpreter
# with PYTHON=python3.12; hand arguments on with PYTEST_ARGS='-k queue', CHAOS_ARGS='--kills 5', FUZZ_ARGS="--seconds 60", BENCH_ARGS=--long.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(VENV)/.stamp-run
DEV := $(VENV)/.stamp-dev
FUZZ := $(VENV)/.stamp-fuzz
BENCH := $(VENV)/.stamp-bench

export PYTHON

.PHONY: demo test check bench bench-readme bench-quick bench-docs profile figures chaos fuzz attack disturb golden constraints help
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | head -n 9

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
	PYTHONPATH=tests $(BIN)/python -m bench $(BENCH_ARGS)

bench-quick: $(DEV)
	PYTHONPATH=tests timeout -k 10 180 $(BIN)/python -m bench.quick $(BENCH_ARGS)

# All figures, and every document that shows them: what failed stays in them with the reason.
figures: $(BENCH)
	-$(MAKE) bench
	-$(MAKE) profile BENCH_ARGS=
	-$(MAKE) bench-quick BENCH_ARGS=--write
	$(MAKE) bench-docs
	$(MAKE) bench-readme

bench-docs: $(DEV)
	PYTHONPATH=tests $(BIN)/python -m bench.document

profile: $(BENCH)
	PYTHONPATH=tests timeout -k 30 600 $(BIN)/python -m bench.profile $(BENCH_ARGS)

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

$(BENCH): pyproject.toml constraints.txt scripts/set-up
	scripts/set-up $@ test,check,postgres,srtp,bench
	@touch $(RUN) $(DEV)

$(FUZZ): pyproject.toml constraints.txt scripts/set-up
	scripts/set-up $@ test,check,postgres,fuzz
	@touch $(RUN) $(DEV)
