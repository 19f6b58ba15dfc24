# `make run`: a server with sample mail; `make test`: everything; `make check`: and the linters.
PYTHON := $(shell for p in python3.13 python3.12 python3.11 python3; do command -v $$p >/dev/null && \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
IMAPFLOW := tests/end_to_end/imapflow

.PHONY: run test check bench fuzz lint clean

run: .venv/installed
	@$(BIN)/python -m tests.testlib.demo

test: .venv/developing $(IMAPFLOW)/node_modules
	$(BIN)/python -m pytest

check: lint test

lint: .venv/developing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	mandoc -T lint -W warning man/*.[1-9]

bench: .venv/installed
	$(BIN)/python -m bench

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "crymapd needs Python 3.11 or newer" >&2; exit 69; }
	@# Debian parts venv from Python; as root we can fetch it.
	$(PYTHON) -m venv .venv || { rm -rf .venv; test "$$(id -u)" = 0 && apt-get update -q && \
		apt-get install -q -y python3-venv && $(PYTHON) -m venv .venv; }

.venv/installed: .venv/bin/python setup.cfg
	$(BIN)/pip install -q --disable-pip-version-check --config-settings editable_mode=compat -e .
	@touch $@

.venv/developing: .venv/installed requirements-dev.txt
	$(BIN)/pip install -q --disable-pip-version-check -r requirements-dev.txt
	@touch $@

$(IMAPFLOW)/node_modules: $(IMAPFLOW)/package-lock.json
	npm ci --silent --no-audit --no-fund --prefix $(IMAPFLOW)
	@touch $@

fuzz: .venv/developing
	nice $(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),300)

clean:
	rm -rf .venv .demo .ci/artefacts $(IMAPFLOW)/node_modules build *.egg-info
