# Two commands set up everything on a fresh machine: make quickstart, make test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: quickstart test check bench slow clean

$(BIN)/curate: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable .
	@touch $@

# the tests need no GPU: any torch that is there will do, and this one has a build without CUDA
$(BIN)/pytest: pyproject.toml $(BIN)/curate
	$(BIN)/python -c 'import torch' 2>/dev/null || $(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet --editable '.[dev]'
	@touch $@

quickstart: $(BIN)/curate  ## sample rows -> plan, funnel, shards, offline
	$(BIN)/curate mix quickstart

test: $(BIN)/pytest  ## the default test suite
	$(BIN)/pytest -n 2 --dist worksteal

slow: $(BIN)/pytest  ## tests that take minutes
	$(BIN)/pytest -m slow

check: $(BIN)/pytest  ## formatting, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(BIN)/pytest  ## speed and memory against named peers; results in benchmarks/results
	$(BIN)/python benchmarks/normalize.py
	$(BIN)/python benchmarks/mix.py
	$(BIN)/python benchmarks/images.py
	$(BIN)/python benchmarks/exact_duplicates.py
	$(BIN)/python benchmarks/near_dedup.py --venvs $(VENV)-peers --install
	$(BIN)/python benchmarks/decontaminate.py
	$(BIN)/python benchmarks/image_duplicates.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/train_step.py

clean:
	rm -rf $(VENV) $(VENV)-peers data build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
