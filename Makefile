# Two commands set up everything on a fresh machine: make quickstart, make test.
# Both install what lock.txt names, hashes checked, and nothing else; make lock renews it (see .ci/lock.py).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCKED := $(BIN)/pip install --quiet --constraint lock.txt --build-constraint lock.txt
THIS := PYTHONWARNINGS=ignore $(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
TORCH := $(shell grep --only-matching '^torch==[0-9.]*' lock.txt)
NEWEST_TORCH ?= $(TORCH)  # NEWEST_TORCH=torch takes the newest, on most machines a CUDA build of several GB

.PHONY: quickstart trainer docs test newest lock check bench exports slow clean

$(BIN)/pip-of-lock: lock-pip.txt
	@$(PYTHON) -c 'import sys; v = sys.version.split()[0]; \
	  sys.exit(f"Python 3.11 or newer is needed, $(PYTHON) is {v}: make PYTHON=python3.12 ..." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes --requirement lock-pip.txt
	@touch $@

$(BIN)/curate: pyproject.toml lock.txt $(BIN)/pip-of-lock
	$(BIN)/python .ci/requirements.py > $(VENV)/base.txt
	$(LOCKED) --requirement $(VENV)/base.txt
	$(THIS)
	@touch $@

# torch's CPU build serves as well and is a tenth of the size, so it comes first, where pip finds one (find-links, an
# index of one's own); pip left to itself takes the build of the common index, which asks for CUDA's libraries.
$(BIN)/torch-of-lock: $(BIN)/curate
	$(LOCKED) --no-deps '$(TORCH)+cpu' 2>/dev/null || echo 'no CPU build of $(TORCH) here: taking the index'"'"'s own'
	@touch $@

$(BIN)/pytest: $(BIN)/torch-of-lock
	$(BIN)/python .ci/requirements.py dev > $(VENV)/dev.txt
	$(LOCKED) --requirement $(VENV)/dev.txt
	@touch $@

quickstart: $(BIN)/curate  ## sample rows -> plan, funnel, shards, offline
	$(BIN)/curate mix quickstart

trainer: $(BIN)/torch-of-lock  ## what curate train needs, torch among it
	$(BIN)/python .ci/requirements.py trainer > $(VENV)/trainer.txt
	$(LOCKED) --requirement $(VENV)/trainer.txt

docs: $(BIN)/curate  ## the documentation, as pages in build/docs that open from disk; a warning fails
	$(BIN)/python .ci/requirements.py docs > $(VENV)/docs.txt
	$(LOCKED) --requirement $(VENV)/docs.txt
	$(BIN)/python -m sphinx -q -E -W --keep-going -c docs docs/pages build/docs
	@echo 'build/docs/index.html'

test: $(BIN)/pytest  ## the default test suite
	$(BIN)/pytest -n 3 --dist worksteal  # more than cores: tests also wait, for hosts that stall and processes that end

newest:  ## the test suite with the newest release of everything, upper bounds left out, in a place of its own
	$(PYTHON) -m venv --clear $(VENV)-newest
	$(VENV)-newest/bin/pip install --quiet --upgrade pip
	$(VENV)-newest/bin/python .ci/requirements.py --newest dev > $(VENV)-newest/requirements.txt
	$(VENV)-newest/bin/pip install --quiet '$(NEWEST_TORCH)' --requirement $(VENV)-newest/requirements.txt
	$(VENV)-newest/bin/pip install --quiet --no-deps --no-build-isolation --editable .
	$(VENV)-newest/bin/pip list
	$(VENV)-newest/bin/pytest -n 3 --dist worksteal  # more than cores: tests also wait, for hosts that stall and processes that end

lock: $(BIN)/curate  ## the newest releases within pyproject's bounds, with hashes, into lock.txt and lock-pip.txt
	$(LOCKED) uv
	$(BIN)/python .ci/lock.py

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

exports: $(BIN)/pytest  ## every export of a mix by its trainer's own loader, each installed in a place of its own
	$(BIN)/python benchmarks/exports.py --venvs $(VENV)-exports

clean:
	rm -rf $(VENV) $(VENV)-newest $(VENV)-peers $(VENV)-exports data build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
