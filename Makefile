# Two commands do everything: `make demo` runs the main job, `make test` the tests. Each builds .venv first.
PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all test-cluster check bench wheel lock

help: # print this list
	@sed -n 's/^\([a-z-]*\):[^#]*# \(.*\)/make \1\t\2/p' Makefile | expand -t 16

# The stamp is newer than its inputs once everything is installed, so a second call installs nothing. Where an
# installation was interrupted, half of a package can look like all of it: the next call begins anew.
.venv/stamp: requirements.txt pyproject.toml
	@if test -e .venv/unfinished || ! $(BIN)/python -c ''; then rm -rf .venv; fi 2>/dev/null
	@$(PYTHON) -c 'import sys; sys.exit(f"{sys.executable} is Python {sys.version.split()[0]}, and 3.11 or newer is needed: make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	@mkdir -p .venv && touch .venv/unfinished
	test -x $(BIN)/uv || { $(PYTHON) -m venv .venv && $(BIN)/python -m pip install --quiet --disable-pip-version-check uv; }
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --compile-bytecode -r requirements.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@rm .venv/unfinished && touch $@

setup: .venv/stamp # build .venv: every package, pinned and hashed; a second call does nothing

demo: setup # search over four methods on bundled images: a few minutes on two cores
	$(BIN)/prunefront run demo

# Processes share the tests out: one a core, four at most (tests/side_by_side.py), or as many as in
# PYTEST_XDIST_AUTO_NUM_WORKERS.
test: setup # the tests, without the slow ones
	$(BIN)/python -m pytest -n auto -m "not slow" tests

test-all: setup # the slow tests too
	$(BIN)/python -m pytest -n auto tests

# Hosts are network namespaces with an sshd each. Packages come without starting their services; other systems install them
# by hand, and whoever may not make namespaces is told so.
test-cluster: setup # a cluster of three hosts by SSH: `ray up`, a host cut off, another, `ray down`; Linux, as root
	@if test "$$(id -u)" = 0 && command -v apt-get >/dev/null && ! { command -v rsync && test -x /usr/sbin/sshd && command -v ip; } >/dev/null; then \
	  echo "installing openssh-server, rsync and iproute2"; \
	  test -e /usr/sbin/policy-rc.d || { printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d; ours=1; }; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends openssh-server rsync iproute2 >/dev/null; \
	  test -z "$$ours" || rm /usr/sbin/policy-rc.d; \
	fi
	@reason=$$($(BIN)/python -c 'from tests.search.hosts import why_not; print(why_not())'); \
	if test -n "$$reason"; then echo "make test-cluster cannot run here: $$reason"; exit 1; fi
	$(BIN)/python -m pytest -s tests/search/test_hosts.py

check: setup # ruff, mypy --strict, import-linter, doctests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q --doctest-modules methods trial search analysis prunefront.py

bench: setup # measure: one line a figure
	$(BIN)/python -m benchmarks

wheel: setup # dist/: the wheel to install elsewhere
	$(BIN)/python -m build --wheel --no-isolation

lock: setup # rewrite requirements.txt: every platform, every hash, no address
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.11 \
	  --group dev --output-file requirements.txt --upgrade pyproject.toml
