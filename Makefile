# Bare `make` prints what there is. Everything works from a fresh clone on Debian 12, as root.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
# Which tests: make test T=tests/workers   Which benchmark file: make bench ONLY=jobs
T ?= tests
ONLY ?=
# Three processes of tests on two processors: each waits for guests and daemons about a third of its time
PROCESSES ?= 3
PYTEST := $(BIN)/python -m pytest -n $(PROCESSES) --dist worksteal
# make chaos: part of a point's name, minutes for points (0: all of them), minutes of the long run (0: none), the dice
MINUTES ?= 60
LONG ?= 0
SEED ?= $(shell echo $$RANDOM)

.DEFAULT_GOAL := help
.PHONY: help setup lab up down demo test check lint types layers format made bench chaos clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/ready ## packages of Debian, Python environment, the lab's guest (each only if missing)

.venv/ready: pyproject.toml constraints.txt deploy/packages.txt
	@mkdir -p var
	@deploy/install-packages
	@echo "Making the Python environment in .venv ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

lab: setup ## the lab alone: a private libvirtd, Postgres and Redis under var/
	@$(BIN)/python -m lab up

up: setup ## the whole stack on this machine: lab, API, worker, beat, Flower; addresses in var/stack.env
	@$(BIN)/python -m lab.stack up

down: ## stops what was started
	@test ! -x $(BIN)/python || $(BIN)/python -m lab.stack down

demo: setup ## the stack and a tour through every operation on a real guest
	@$(BIN)/python -m lab.demo

test: setup ## the tests, on real Postgres, Redis, libvirt and guests; T=path for some
	@$(PYTEST) -m "not slow and not chaos" $(T)

var/schemathesis/ready: tests/web/schemathesis.txt
	@mkdir -p var
	@$(PYTHON) -m venv var/schemathesis
	@var/schemathesis/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

check: lint types layers var/schemathesis/ready ## what CI runs: style, types, import rules, the tests with the slow ones
	@$(PYTEST) -m "not chaos" tests

lint: setup ## style
	@$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet .

types: setup ## mypy, strict
	@$(BIN)/mypy

layers: setup ## who may import whom
	@$(BIN)/lint-imports --no-cache --no-logo 2>/dev/null || $(BIN)/lint-imports --no-cache

format: setup ## puts the code into shape
	@$(BIN)/ruff format --quiet . && $(BIN)/ruff check --fix --quiet .

made: setup ## writes the files that are made from the code: the client's types, its verbs to be awaited
	@$(BIN)/python -m made

bench: setup ## measures, against a baseline in the same run, into bench/results/; ONLY=jobs for one file
	@$(BIN)/python -m bench $(ONLY)

chaos: setup ## kills everything anywhere, on real guests; ONLY=point MINUTES=60 (0: all) LONG=120 SEED=1
	@test -n "$(ONLY)" || $(PYTEST) -m chaos tests
	@$(BIN)/python -m tests.chaos --minutes $(MINUTES) --seed $(SEED) --only "$(ONLY)"
	@test "$(LONG)" = 0 || $(BIN)/python -m tests.chaos.long_run --minutes $(LONG) --seed $(SEED)

clean: down ## stops everything and removes var/ and the environment
	@test ! -x $(BIN)/python || $(BIN)/python -m lab down --remove
	@rm -rf var .venv
