# `make run`: a server with sample mail; `make test`: all tests; `make check`: and the linters.
# `make test COVERAGE=yes` measures, and fails below the floor in setup.cfg; `make test TESTS=tests/mime` runs some;
# `make test LOWEST=yes` runs with the oldest versions of all dependencies that setup.cfg allows.
PYTHON := $(shell for p in python3.13 python3.12 python3.11 python3; do command -v $$p >/dev/null && \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
IMAPFLOW := tests/end_to_end/imapflow

RECORDS := .ci/artefacts/coverage
MEASURED := $(if $(COVERAGE),CRYMAP_COVERAGE=$(abspath $(RECORDS)) PYTHONPATH=$(abspath tests/measured))

.PHONY: run test check bench fuzz lint peers clean

run: .venv/installed
	@$(BIN)/python -m tests.testlib.demo

test: .venv/developing $(IMAPFLOW)/node_modules
	@mkdir -p $(dir $(RECORDS)) && rm -f $(RECORDS)
	$(if $(LOWEST),$(BIN)/python -m tests.testlib.lowest >.ci/artefacts/lowest.txt)
	$(if $(LOWEST),$(BIN)/pip install -q --disable-pip-version-check -r .ci/artefacts/lowest.txt)
	$(MEASURED) $(BIN)/python -m pytest $(TESTS)
	$(if $(COVERAGE),$(BIN)/python -m tests.measured $(RECORDS))
	$(if $(COVERAGE),$(BIN)/coverage report)

check: lint test

lint: .venv/developing peers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	mandoc -T lint -W warning man/*.[1-9]
	shellcheck .ci/run .ci/bare .ci/first-hour .ci/venv

bench: .venv/installed
	$(BIN)/python -m bench

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "crymapd needs Python 3.11 or newer" >&2; exit 69; }
	.ci/venv $(PYTHON) .venv

.venv/installed: .venv/bin/python setup.cfg
	$(BIN)/pip install -q --disable-pip-version-check --config-settings editable_mode=compat -e .
	@touch $@

.venv/developing: .venv/installed requirements-dev.txt
	$(BIN)/pip install -q --disable-pip-version-check -r requirements-dev.txt
	@touch $@

# As root, install what the tests talk to; anybody else is told by the tests what is missing.
peers: .venv/bin/python
	@$(BIN)/python -m tests.testlib.peers

$(IMAPFLOW)/node_modules: $(IMAPFLOW)/package-lock.json | peers
	@if command -v npm >/dev/null; then npm ci --no-audit --no-fund --prefix $(IMAPFLOW) && touch $@; fi

fuzz: .venv/developing
	nice $(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),300)

clean:
	rm -rf .venv .demo .ci/artefacts $(IMAPFLOW)/node_modules build *.egg-info
