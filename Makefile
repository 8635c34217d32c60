# Set-up, demo, tests: `make help` lists them. Needs git, make and Python >= 3.11; uses uv when there is one, pip otherwise.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNNING := $(VENV)/.running
TESTING := $(VENV)/.testing
UV := $(shell command -v uv 2>/dev/null)

ifdef UV
  create := uv venv --quiet --python $(PYTHON) $(VENV)
  install := uv pip install --quiet --python $(BIN)/python --no-deps
else
  create := $(PYTHON) -m venv $(VENV)
  install := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps
endif
# A lock names everything that is installed, so nothing is resolved, and nothing is built from source: what is published
# tomorrow changes no set-up.
locked := $(install) --require-hashes --only-binary :all: -r

.PHONY: help demo bench test lint types layers unit quick docs lock setup-check clean policy faults soak
.DEFAULT_GOAL := test

help: ## list what there is to make
	@sed -n 's/^\([a-z][a-z-]*\):.*## /\1\t/p' Makefile | while IFS="$$(printf '\t')" read -r name what; do \
	  printf '%-17s %s\n' "make $$name" "$$what"; done

$(RUNNING): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python >= 3.11 is needed, $$($(PYTHON) --version) found: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	rm -rf $(VENV)
	$(create)
	$(locked) requirements.lock
	$(install) --no-build-isolation -e .
	touch $@

$(TESTING): $(RUNNING) requirements-dev.lock
	$(locked) requirements-dev.lock
	touch $@

demo: $(RUNNING) ## play one run on this machine, from its opening to the weights
	$(BIN)/gaia demo $(ARGS)

policy: $(RUNNING) ## show who would earn what in the embedded world (docs/explanation/policy-trial.md)
	$(BIN)/python scripts/try_policy.py $(ARGS)

bench: $(TESTING) ## measure into out/bench; ARGS="--quick" only sees that it runs, ARGS="--only NAME" chooses
	$(BIN)/python -m benchmarks $(ARGS)

test: lint types layers unit ## everything that must pass

lint: $(TESTING) ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(TESTING) ## mypy, strict
	$(BIN)/mypy

layers: $(TESTING) ## who may import whom
	$(BIN)/lint-imports

unit: $(TESTING) ## the tests, with coverage; ARGS chooses some of them
	$(BIN)/python scripts/run_tests.py $(ARGS)

quick: lint types layers ## linters and the fast unit tests, in less than a minute; ARGS go to pytest
	$(BIN)/python scripts/run_tests.py --quick $(ARGS)

faults: $(TESTING) ## every fault at full counts; writes the table into docs/reference/faults.md
	$(BIN)/python -m pytest tests/faults --quiet --full --fault-page docs/reference/faults.md $(ARGS)

soak: $(TESTING) ## ten minutes of units, leaks and kills: throughput, memory and restarts of every role
	$(BIN)/python -m benchmarks.backbone.soak $(ARGS)

# For all platforms and Pythons >= 3.11, each pin with its hashes. No index lines: yours is used. Pins name their extras, and
# stand there without them as well: pip before 23.3 looks for another release of what a lock does not pin in both ways.
compile := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
  --no-annotate --no-strip-extras --group build --extra validator
lock: ## pin what pyproject.toml asks for anew, keeping the pins that still hold; ARGS=--upgrade for the newest (needs uv)
	$(compile) --extra dev --extra docs $(ARGS) --output-file requirements-dev.lock pyproject.toml
	$(compile) $(ARGS) --constraint requirements-dev.lock --output-file requirements.lock pyproject.toml
	$(PYTHON) scripts/pin_bare_names.py requirements.lock requirements-dev.lock

setup-check: $(TESTING) ## whether old and new installers take the locks and the package, on every Python of the PATH (an hour)
	$(BIN)/python scripts/check_setup.py $(ARGS)

clean: ## delete .venv and what the tools have cached
	rm -rf $(VENV) build dist .coverage .coverage.* htmlcov .mypy_cache .ruff_cache .pytest_cache .hypothesis

docs: $(TESTING) ## the documentation as a site, into out/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build
