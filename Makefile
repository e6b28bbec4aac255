# `make demo` and `make test` need Python 3.11, pip and make, nothing else: the environment is made by the first of them.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?=
# Tests run in this many processes, a file's in one: each counts on one thread of its own.
WORKERS ?= 2

# The stamp's name holds a checksum of what the environment is made from, so that any change of that installs again,
# whatever the times of the files are.
PLUGINS := tests/example_plugin plugins/ffbridge-mlx plugins/ffbridge-paddle
SOURCES := pyproject.toml constraints.txt $(PLUGINS:%=%/pyproject.toml)
STAMP := $(VENV)/installed-$(shell cat $(SOURCES) | cksum | cut -d ' ' -f 1)
# The constraints hold for what builds a package too: a dependency that comes as sources is built apart from the environment.
PIP := PIP_CONSTRAINT=$(CURDIR)/constraints.txt $(BIN)/python -m pip --disable-pip-version-check --quiet
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile

.PHONY: help demo test test-all lint format bench data fuzz coverage env clean

help:
	@echo "make demo      the main job on real molecules"
	@echo "make test      lint, types, and every test that is not slow"
	@echo "make test-all  the same with the slow tests"
	@echo "make lint      ruff and mypy"
	@echo "make format    ruff writes the format"
	@echo "make bench     the benchmark suite: tables and ratios in benchmarks/results"
	@echo "make data      the targets of data/qc by quantum chemistry: what is not there already"
	@echo "make fuzz      each reader in turn on damaged files, for FUZZ_SECONDS each (FUZZ names some of them)"
	@echo "make coverage  how much of the code, and which of its branches, the quick tests run"
	@echo "make env       the environment alone, in $(VENV)"
	@echo "make clean     removes the environment and caches"

env: $(STAMP)

$(STAMP): $(SOURCES)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "the pinned versions are for Python 3.11; this is %d.%d: set PYTHON to a 3.11" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	rm -f $(VENV)/installed-*
	$(PIP) install --editable ".[all,dev,examples,qc]"
	$(PIP) install --no-deps $(PLUGINS:%=--editable %)
	touch $@

demo: $(STAMP)
	$(BIN)/ffbridge demo

test: lint
	$(PYTEST) -m "not slow" $(PYTEST_ARGS)

test-all: lint
	$(PYTEST) $(PYTEST_ARGS)

lint: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(STAMP)
	$(BIN)/python -m benchmarks

data: $(STAMP)
	$(BIN)/python -m data.qc --processes $(shell nproc)

# Atheris is no part of the environment: it has wheels for Linux only.
FUZZ ?= bundle validate targets evaluator qcarchive torsion_profiles extended_xyz descent spice trajectory molecules
FUZZ_SECONDS ?= 60
fuzz: $(STAMP)
	$(PIP) install atheris
	for name in $(FUZZ); do $(BIN)/python -m tests.fuzz $$name -max_total_time=$(FUZZ_SECONDS) || exit 1; done

# Coverage is no part of the environment either. Code that numba compiles, and other processes, count as not run.
coverage: export COVERAGE_FILE := $(VENV)/coverage
coverage: $(STAMP)
	$(PIP) install coverage
	OMP_NUM_THREADS=1 $(BIN)/python -m coverage run --branch --source=bridge/ffbridge,backends/ffbridge_backends \
		-m pytest -m "not slow" $(PYTEST_ARGS); status=$$?; \
	$(BIN)/python -m coverage report --skip-covered --sort=cover; exit $$status

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
