# Everything runs from .venv, which `make setup` builds. `make` alone lists the targets.
#   PYTHON       the interpreter to build .venv with (3.11 or newer)
#   FUZZ_SECONDS how long `make fuzz` draws requests and programs, in all
#   TESTERS      how many processes run the tests: one more than cores, since some tests wait; each takes a part of the
#                files, for which fixtures of a module are made once, and who has finished takes over from the others
#   TORCH_INDEX  a package index to take torch from, before everything else: the CPU build for example

PYTHON ?= python3
FUZZ_SECONDS ?= 300
TESTERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
TORCH_INDEX ?=
BIN := .venv/bin
# One environment, in two steps: what afterbase runs on, then what its tests and linters need.
READY := .venv/.setup-done
DEV_READY := .venv/.setup-dev-done

.PHONY: help setup setup-dev quickstart smoke test test-all fuzz lint wheel
.DELETE_ON_ERROR:

help:
	@echo "make setup       build .venv and install afterbase into it (quick the second time)"
	@echo "make setup-dev   setup, then what tests and linters need beside it"
	@echo "make quickstart  setup, then the whole recipe on the shipped tiny base"
	@echo "make smoke       setup, then the smallest recipe, in a temporary folder"
	@echo "make test        setup-dev, then the tests that take seconds"
	@echo "make test-all    setup-dev, then all tests"
	@echo "make fuzz        setup-dev, then random requests at the servers and random programs in confinement, for minutes"
	@echo "make lint        setup-dev, then ruff, pyright and the layers contract"
	@echo "make wheel       setup, then build the wheel and run the smallest recipe from it, in an empty environment"

setup: $(READY)
	@echo ".venv is ready"

$(READY): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "afterbase needs Python 3.11 or newer: no $(PYTHON) here. Try: make setup PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "afterbase needs Python 3.11 or newer: $(PYTHON) is $$($(PYTHON) -V 2>&1). Try: make setup PYTHON=python3.11" >&2; exit 1; }
	@echo "setting up .venv (a few minutes, once)"
	@$(PYTHON) -m venv .venv
	@$(if $(TORCH_INDEX),$(BIN)/pip install -qq torch -c constraints.txt --index-url $(TORCH_INDEX))
	@$(BIN)/pip install -qq -e . -c constraints.txt
	@touch $@

setup-dev: $(DEV_READY)
	@echo ".venv is ready for tests"

$(DEV_READY): $(READY)
	@echo "adding to .venv what tests and linters need (a few minutes, once)"
	@$(BIN)/pip install -qq -e '.[dev]' -c constraints.txt
	@touch $@

quickstart: setup
	$(BIN)/afterbase run recipes/quickstart.toml

test: setup-dev
	$(BIN)/pytest -n $(TESTERS) --dist worksteal -m "not slow and not fuzz"

test-all: setup-dev
	$(BIN)/pytest -n $(TESTERS) --dist worksteal -m "not fuzz"

fuzz: setup-dev
	AFTERBASE_FUZZ_SECONDS=$(FUZZ_SECONDS) $(BIN)/pytest -m fuzz tests/fuzz

lint: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

# In a folder of its own, so that nothing is found in the store and every stage really runs.
smoke: setup
	root=$$(mktemp -d) && trap 'rm -rf "$$root"' EXIT && cd "$$root" && \
	  "$(CURDIR)/$(BIN)/afterbase" run "$(CURDIR)/recipes/smoke.toml"

# With what the wheel itself depends on and nothing else, in a folder outside the checkout.
wheel: setup
	rm -rf dist/afterbase-*.whl
	$(BIN)/pip wheel -qq --no-deps --wheel-dir dist .
	$(BIN)/python tools/check_wheel.py dist/afterbase-*.whl
	root=$$(mktemp -d) && trap 'rm -rf "$$root"' EXIT && $(PYTHON) -m venv "$$root/venv" && \
	  $(if $(TORCH_INDEX),"$$root/venv/bin/pip" install -qq torch -c constraints.txt --index-url $(TORCH_INDEX) && )\
	  "$$root/venv/bin/pip" install -qq dist/afterbase-*.whl -c constraints.txt && \
	  "$$root/venv/bin/pip" check && cd "$$root" && venv/bin/afterbase --version && venv/bin/afterbase demo smoke
