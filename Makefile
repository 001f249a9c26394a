# Two commands do everything: `make demo` runs the main job, `make test` the tests. Each builds .venv first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test test-all check bench lock wheel

# The stamp is newer than its inputs once everything is installed, so a second call installs nothing.
.venv/stamp: requirements.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	test -x $(BIN)/uv || $(BIN)/pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --compile-bytecode -r requirements.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $@

setup: .venv/stamp

demo: setup
	$(BIN)/prunefront run demo

test: setup
	$(BIN)/python -m pytest -m "not slow" tests

test-all: setup
	$(BIN)/python -m pytest tests

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q --doctest-modules --ignore=tests --ignore=benchmarks methods trial search analysis prunefront.py

bench: setup
	$(BIN)/python -m benchmarks

wheel: setup
	$(BIN)/python -m build --wheel --no-isolation

# Rewrites requirements.txt: every platform, every hash, no download address.
lock: .venv/stamp
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.11 \
	  --group dev --all-extras --output-file requirements.txt --upgrade pyproject.toml
