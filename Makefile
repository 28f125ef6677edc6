# Everything sets itself up: `make demo` on a fresh clone needs only Python 3.11, Node.js 20 or newer, and make.
PYTHON ?= $(or $(shell for p in python3.11 python3; do $$p -c '' 2>/dev/null && echo $$p && break; done),python3.11)
ARGS ?=
CODEBASES := $(patsubst functions/%/main.py,%,$(wildcard functions/*/main.py))
empty :=
# Where each package lies, as a path.
PACKAGES := shared$(subst $(empty) ,,$(CODEBASES:%=:functions/%))

.DEFAULT_GOAL := help
.PHONY: help demo up test check soak bench registers lint types lock clean setup

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup ## drive one person's whole life through the real functions and say what held
	@.venv/bin/python -m local.demo $(ARGS)

up: setup ## keep the local stack running until Ctrl-C
	@.venv/bin/python -m local up $(ARGS)

test: setup ## all tests, in two processes; ARGS="-k name" picks some
	@.venv/bin/python -m pytest $(or $(ARGS),-n 2 --dist loadgroup)

check: lint types ## style, types, contracts, and all tests that need no stack: about two minutes
	@.venv/bin/python -m pytest -m "not stack" -n 2 $(ARGS)

soak: setup ## 10,000 random steps through erasures and all that can go wrong with them, and 10,000 random requests
	@SOAK_STEPS=10000 FUZZ_REQUESTS=10000 .venv/bin/python -m pytest --timeout 0 \
		tests/functions/erasure/test_machine.py tests/journeys/test_fuzz.py $(ARGS)

bench: setup ## the benchmarks
	@.venv/bin/python -m bench $(ARGS)

registers: setup ## the record of processing and the list of processors, as pages in build/
	@.venv/bin/astra registers write build

lint: setup ## style, format, and who imports whom
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@PYTHONPATH=.:$(PACKAGES) .venv/bin/lint-imports --no-cache --no-logo

# Every codebase has a main.py, so these are checked one by one.
types: setup ## strict types
	@.venv/bin/mypy verify.py
	@MYPYPATH=$(PACKAGES) .venv/bin/mypy -p astra -p cli $(CODEBASES:%=-p %)
	@for codebase in $(CODEBASES); do \
		MYPYPATH=$(PACKAGES) .venv/bin/mypy --no-error-summary functions/$$codebase/main.py || exit; \
	done

lock: setup ## pin what pyproject.toml, functions/*/requirements.in and package.json ask for
	@.venv/bin/python -m local.deployment.lock

clean: ## remove all that set-up and the stack made
	@rm -rf .venv node_modules .local build shared/*.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@rm -f functions/*/venv *-debug.log

setup:
	@$(PYTHON) local/setup.py
