# Set-up, demo, tests. Needs git, make and Python >= 3.11; uses uv when there is one, pip otherwise.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
UV := $(shell command -v uv 2>/dev/null)

.PHONY: demo bench test lint types layers unit lock clean policy faults soak
.DEFAULT_GOAL := test

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python >= 3.11 is needed, $$($(PYTHON) --version) found: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	rm -rf $(VENV)
ifdef UV
	uv venv --quiet --python $(PYTHON) $(VENV)
	uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
else
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
endif
	touch $@

demo: $(STAMP)
	$(BIN)/gaia demo $(ARGS)

# Who would earn what under the scoring policy, in the embedded world: docs/explanation/policy-trial.md
policy: $(STAMP)
	$(BIN)/python scripts/try_policy.py $(ARGS)

# Figures of docs/explanation/performance.md, into out/bench; ARGS="--quick" only sees that it runs, --only NAME chooses.
bench: $(STAMP)
	$(BIN)/python -m benchmarks $(ARGS)

test: lint types layers unit

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

layers: $(STAMP)
	$(BIN)/lint-imports

unit: $(STAMP)
	$(BIN)/python scripts/run_tests.py $(ARGS)

# Every fault at full counts; writes the table into docs/reference/faults.md
faults: $(STAMP)
	$(BIN)/python -m pytest tests/faults --quiet --full --fault-page docs/reference/faults.md $(ARGS)

# Ten minutes of units, leaks and kills: throughput, memory and restarts of every role
soak: $(STAMP)
	$(BIN)/python -m benchmarks.backbone.soak $(ARGS)

# Pins every dependency with its hash, for all platforms and Pythons >= 3.11. No index lines: yours is used.
lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --no-annotate --extra dev --output-file requirements.lock pyproject.toml

clean:
	rm -rf $(VENV) build dist .coverage .coverage.* htmlcov .mypy_cache .ruff_cache .pytest_cache .hypothesis

.PHONY: docs
docs: $(STAMP) ## Build the documentation as a site into out/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build
