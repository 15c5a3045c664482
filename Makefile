# Needs make and a Python of 3.11 or newer, nothing else. Everything is installed into .venv, from hash-locked files.
#   make PYTHON=/path/to/python3.12 test     another interpreter
#   make PYTEST_ARGS="-k shapley" test       part of the tests
#   make UPGRADE=--upgrade lock              newer versions

VENV := .venv
BIN := $(VENV)/bin
PYTHONS := python3.13 python3.12 python3.11 python3 python3.14
PYTEST_ARGS ?= -n 2 --dist loadfile --no-loadscope-reorder # else the slowest files come last
# Server software that the tests start. What one needs clashes with what another needs: each has an environment of its own.
SERVERS := $(basename $(notdir $(wildcard tests/endpoints/envs/*.lock)))
SERVER_PYTHON := >=3.11,<3.13
# The console does not redraw where no one watches.
export UV_NO_PROGRESS := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo test lint servers bench lock clean
.DELETE_ON_ERROR:

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

demo: $(VENV)/demo.stamp ## start a loopback endpoint with real models, probe it, write a report
	@$(BIN)/probe demo

test: lint servers ## lint, types and the whole test suite
	@echo "== pytest"
	@PROBE_TEST_SERVERS=required $(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/dev.stamp ## style, format and types
	@echo "== ruff check"
	@$(BIN)/ruff check .
	@echo "== ruff format"
	@$(BIN)/ruff format --check .
	@echo "== mypy"
	@$(BIN)/mypy

servers: $(SERVERS:%=$(VENV)/servers/%.stamp) ## install the server software that tests/endpoints starts

bench: $(VENV)/dev.stamp ## measure the performance goals
	@$(BIN)/python -m benchmarks

# The locks agree with each other, so that going from one to the next changes no version.
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --no-annotate --custom-compile-command "make lock" $(UPGRADE)

lock: $(VENV)/build.stamp ## renew requirements*.lock from pyproject.toml, and the servers' locks
	$(COMPILE) pyproject.toml --extra dev -o requirements-dev.lock
	$(COMPILE) pyproject.toml --extra demo -c requirements-dev.lock -o requirements-demo.lock
	$(COMPILE) pyproject.toml --extra postgres --extra web -c requirements-dev.lock -o requirements.lock
	printf 'uv\nhatchling\n' | $(COMPILE) - -c requirements-dev.lock -o requirements-build.lock
	for each in $(basename $(wildcard tests/endpoints/envs/*.in)); do $(COMPILE) $$each.in -o $$each.lock || exit 1; done

clean: ## remove the environment and everything made, never a ledger
	rm -rf $(VENV) build dist demo-out .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is as new as what it stands for: a changed lock installs again, an unchanged one costs nothing.
$(VENV)/build.stamp: requirements-build.lock
	@python=$$(for each in $(or $(PYTHON),$(PYTHONS)); do \
	    $$each -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$each && break; \
	  done); \
	if [ -z "$$python" ]; then \
	  echo "none of '$(or $(PYTHON),$(PYTHONS))' is a Python of 3.11 or newer with its venv module;" \
	    "install one (on Debian: python3 python3-venv) or name one: make PYTHON=..." >&2; exit 1; \
	fi; \
	echo "== $(VENV) with $$($$python --version)"; \
	$$python -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements-build.lock
	@touch $@

$(VENV)/%.stamp: requirements-%.lock $(VENV)/build.stamp pyproject.toml
	@echo "== installing $<"
	@$(call install,--require-hashes -r $<)
	@$(call install,--no-deps --no-build-isolation -e .)
	@touch $@

# Some of these servers do not run on a newer Python than this yet; uv finds one, or fetches it.
$(VENV)/servers/%.stamp: tests/endpoints/envs/%.lock $(VENV)/build.stamp
	@echo "== installing $<"
	@$(BIN)/uv venv --quiet --clear --python '$(SERVER_PYTHON)' $(VENV)/servers/$*
	@$(call install,--require-hashes -r $<,$(VENV)/servers/$*/bin/python)
	@touch $@

# pip stands in where uv cannot reach the registry: it knows mirrors that are set up for pip alone.
install = $(BIN)/uv pip install --quiet --python $(or $(2),$(BIN)/python) $(1) \
	|| { echo "== once more, with pip"; $(BIN)/python -m pip --python $(or $(2),$(BIN)/python) install --quiet $(1); }
