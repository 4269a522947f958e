# Everything a developer types. Only make, a POSIX shell and Python >= 3.11 are needed; the rest goes into .venv.
# Where packages come from is this machine's business: pip's own configuration decides, and uv is told the same index.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint types collected torture stack-check soak bench page requirements hooks dist release clean

BIN := .venv/bin
# The tests start some hundred processes: without byte code each would compile every module it imports.
unexport PYTHONDONTWRITEBYTECODE
STAMPS := .venv/.recq
# Files in the order that tests/conftest.py gives them, long ones first; xdist would sort them by their number of tests.
PYTEST ?= -n 3 --dist loadfile --no-loadscope-reorder --durations 20 -m "not long"
TORTURE ?=

help:
	@echo 'make demo                     see recq work on the bundled photographs'
	@echo 'make demo FOLDER=~/Pictures   the same on a folder of your own, which is only read'
	@echo 'make test                     lint, types and all tests (adds TensorFlow to .venv)'
	@echo 'make lint | types            one of them alone'
	@echo 'make torture                  the reliability tests in full, in an hour or two; figures in build/torture.jsonl'
	@echo "make torture TORTURE='-k cut' some of them alone"
	@echo 'make stack-check              what docker-compose.yml starts, started without Docker: keys, health, kills, three nodes'
	@echo 'make soak                     50,000 images through one daemon, whose memory has to stay flat; figures in build/soak.jsonl'
	@echo "make soak SOAK='--images 9000 --fast'   fewer, small ones"
	@echo 'make bench                    how fast it is, in 25 minutes: docs/performance.md anew (FULL=1: hours, AGAIN=1: all of it)'
	@echo 'make page                     docs/performance.md and docs/scale.md alone, of what was measured so far'
	@echo 'make requirements             pin the dependencies anew (UPGRADE=1: to the newest versions)'
	@echo 'make hooks                    run the quick checks before each commit'
	@echo 'make dist                     wheel and source distribution in dist/'
	@echo 'make release                  these of a clean tree whose version has its changelog, with SBOM, licences and checksums'
	@echo 'make clean                    remove .venv and the tools'"'"' caches'

demo: $(STAMPS)/base
ifeq ($(origin FOLDER),command line)
	@$(BIN)/python tools/demo.py "$$FOLDER"
else
	@$(BIN)/python tools/demo.py
endif

test: lint
	@$(MAKE) --no-print-directory -j 2 types collected
	$(BIN)/python -m pytest $(PYTEST)

lint: $(STAMPS)/test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMPS)/test
	$(BIN)/mypy

# The asserts of all test files are rewritten once, on the core that mypy leaves, not by each of the tests' processes.
collected: $(STAMPS)/test
	@$(BIN)/python -m pytest -p no:xdist --collect-only -q >/dev/null || :

# Three files at a time: most of their time they wait for processes. What they measured is in build/, which git ignores.
# A test that fails keeps none of the others from running.
THREE = -n 3 --dist loadfile --no-loadscope-reorder --durations 40
torture: $(STAMPS)/test
	@rm -f build/torture.jsonl
	$(BIN)/python -m pytest $(THREE) tests/reliability --full --figures build/torture.jsonl $(TORTURE) || failed=1; \
	$(if $(TORTURE),,$(BIN)/python -m pytest $(THREE) tests --ignore tests/reliability -m long || failed=1;) \
	test -z "$$failed"

stack-check: $(STAMPS)/test
	$(BIN)/python -m pytest tests/packaging/test_stack.py tests/packaging/test_compose.py -p no:xdist

soak: $(STAMPS)/test
	@rm -f build/soak.jsonl
	$(BIN)/python -m tests.reliability.soak --figures build/soak.jsonl $(SOAK)

# What was measured already by the same command is kept: `make bench AGAIN=1` measures all of it anew.
BENCHMARKS = ingest peers drop query start daemon_start footprint amx growth \
  $(if $(FULL),filters service page consumers reconcile compaction quality_memory)
bench: $(STAMPS)/test
	@set -e; for name in $(BENCHMARKS); do \
	  echo "benchmarks/$$name.py"; \
	  $(BIN)/python "benchmarks/$$name.py" $(if $(FULL),--full) $(if $(AGAIN),--again); \
	done; $(BIN)/python tools/make_performance_page.py --take; $(BIN)/python tools/make_scale_page.py

page: $(STAMPS)/test
	$(BIN)/python tools/make_performance_page.py $(if $(wildcard build/bench/*.json),--take)
	$(BIN)/python tools/make_scale_page.py $(if $(wildcard build/bench/server_size.json),--take)

hooks: $(STAMPS)/test
	$(BIN)/pre-commit install

dist: $(STAMPS)/test
	rm -rf dist
	$(BIN)/uv build --quiet --no-build-isolation --python $(BIN)/python --out-dir dist

# Of a commit and nothing else: what is given out must be what the tag names.
release: $(STAMPS)/test
	PYTHONPATH=. $(BIN)/python tools/make_release.py --check
	$(MAKE) --no-print-directory dist
	PYTHONPATH=. $(BIN)/python tools/make_release.py

# ---- pinned dependencies -------------------------------------------------------------------------------------------

PIN = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
      $(if $(UPGRADE),--upgrade)

requirements: $(STAMPS)/build
	$(PIN) requirements/build.in -o requirements/build.txt
	$(PIN) pyproject.toml -o requirements/base.txt
	$(PIN) pyproject.toml --extra keras --extra heic --extra parquet --extra preview --extra train --group test -c requirements/base.txt -o requirements/test.txt
	$(PIN) pyproject.toml --extra ray -c requirements/test.txt -o requirements/ray.txt
	$(PIN) requirements/release.in -o requirements/release.txt
	$(filter-out --universal,$(PIN)) pyproject.toml requirements/quantise.in -c requirements/base.txt -o requirements/quantise.txt

# ---- .venv ---------------------------------------------------------------------------------------------------------
# A stamp is older than its requirements file when that changed. Installing only ever adds: the pins of base.txt and
# test.txt agree (a test sees to it), so the demo keeps TensorFlow and the tests keep what the demo installed.

# A .venv whose Python is gone (an upgrade took it), or that was made where the checkout no longer is, starts afresh.
ifneq ($(shell $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 \
         && [ "$$(cat $(STAMPS)/checkout 2>/dev/null)" = "$(CURDIR)" ] && echo works),works)
.PHONY: $(STAMPS)/build
endif

# uv reads no pip.conf: the index that pip would use is handed to it. Nothing else of pip's configuration is needed.
INSTALL = \
  index="$${UV_DEFAULT_INDEX:-$${UV_INDEX_URL:-$${PIP_INDEX_URL:-$$($(BIN)/python -m pip config get global.index-url 2>/dev/null)}}}"; \
  [ -z "$$index" ] || export UV_DEFAULT_INDEX="$$index"; \
  install() { $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python "$$@" \
    || { echo 'Installing into .venv failed, see above. "make clean" starts from nothing.' >&2; exit 1; }; }; install

$(STAMPS)/build: requirements/build.txt
	@set -e; \
	if ! $(BIN)/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 \
	  || [ "$$(cat $(STAMPS)/checkout 2>/dev/null || pwd -P)" != "$$(pwd -P)" ]; then \
	  python=; \
	  for candidate in $(PYTHON) python3.13 python3.12 python3.11 python3 python; do \
	    if "$$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	      python=$$candidate; break; \
	    fi; \
	  done; \
	  [ -n "$$python" ] || { echo 'No Python 3.11 or newer with venv and ensurepip was found: install one (Debian: apt install python3-venv) or say make PYTHON=/path/to/python3.' >&2; exit 1; }; \
	  echo "Making .venv with $$("$$python" --version)"; \
	  rm -rf .venv; "$$python" -m venv .venv; \
	fi; \
	mkdir -p $(STAMPS); pwd -P >$(STAMPS)/checkout; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.txt; \
	touch $@

$(STAMPS)/base: $(STAMPS)/build requirements/base.txt pyproject.toml
	@echo 'Installing recq and what it needs'; \
	$(INSTALL) --require-hashes -r requirements/base.txt && install --no-deps --no-build-isolation -e . && touch $@

$(STAMPS)/test: $(STAMPS)/base requirements/test.txt
	@echo 'Installing TensorFlow and the tools of the tests'; \
	$(INSTALL) --require-hashes -r requirements/test.txt && touch $@

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
