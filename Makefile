# Trace: the commands of a developer. `make` alone lists them.
# A machine needs python3.11, git, make, node with npm, and Go; hack/setup brings or builds everything else.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup check test soak bench fuzz mutants demo demo-down generate format

RUN := .venv/bin
# Byte code is kept, whatever the environment says: tests start some thousand Pythons, and each would compile anew.
export PYTHONDONTWRITEBYTECODE :=

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

# The Python environment follows the lock file; the stamp says which one it has.
.venv/.stamp: pyproject.toml uv.lock
	@echo "-- Python environment"
	@"$$(hack/setup path uv)" sync --frozen --quiet
	@touch $@

setup: .venv/.stamp ## install and build what is missing (first time about 12 minutes, then a second)
	@hack/setup

check: .venv/.stamp ## style, types, layers, unit tests: seconds, no services
	@hack/verify.sh check

test: ## set up, then prove everything: the whole run that CI does
	@hack/verify.sh all

soak: setup ## long drills, an hour and more: what `make test` does a little of, done much
	@$(RUN)/pytest -q -m soak tests operators
	@$(MAKE) --no-print-directory fuzz KIND=answers SECONDS=$(or $(SECONDS),1800)

bench: .venv/.stamp ## figures as ratios, each taken in one run
	@$(RUN)/python -m tests.bench

FUZZ_gate := tests.unit.query.fuzz
FUZZ_answers := tests.integration.query.answers.differential
fuzz: .venv/.stamp ## statements that nobody wrote, KIND=gate: what is let through, or answers: beside plain DuckDB; SECONDS=60, SEED= to repeat a run
	@$(RUN)/python -m $(FUZZ_$(or $(KIND),gate)) --seconds $(or $(SECONDS),60) $(if $(SEED),--seed $(SEED))

mutants: .venv/.stamp ## take guards out of the code one at a time, and say which no test misses; ROOM=, ONLY= for a part, FIRST=1 for quick tests alone, TESTS= for some
	@$(RUN)/python -m hack.mutants $(if $(ROOM),--room $(ROOM)) $(if $(ONLY),--only "$(ONLY)") $(if $(FIRST),--first-only) $(TESTS:%=--tests %)

demo: setup ## raise a cluster, install Trace, run a pipeline, query it, prove the answer; MONITORING=1: Prometheus beside it
	@$(RUN)/python -m hack.demo up $(if $(MONITORING),--monitoring)

demo-down: ## take the demo down: no process, mount, namespace or file is left
	@python3 -m hack.demo down

generate: .venv/.stamp ## write again whatever is generated from the code
	@set -e; for module in hack/generate/*.py; do \
	  name=$$(basename $$module .py); [ "$$name" = __init__ ] || $(RUN)/python -m hack.generate.$$name; done

format: .venv/.stamp ## format the code and sort imports
	@$(RUN)/ruff check --fix --quiet . ; $(RUN)/ruff format --quiet .
