# Everything a developer or a user runs. Nothing is ever installed by hand.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.complete
JS     := tests/interop/js
PY     := build/interop-py
ARGS   ?=
PYTEST := $(BIN)/python -m pytest

.PHONY: help setup run test test-unit test-lint test-docs test-integration test-interop test-clients \
        test-browser nightly docs docs-reference guide-model bench dist clean

help:
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

setup: $(STAMP) ## create .venv with everything

$(STAMP): setup.cfg pyproject.toml constraints.txt
	@echo "Setting up $(VENV): a few minutes the first time"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --disable-pip-version-check --upgrade "pip>=24"
	$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt \
	    --config-settings editable_mode=compat -e ".[dev,torch]"
	touch $@

run: $(STAMP) ## start a node: make run ARGS="--port 9000"
	@exec $(BIN)/swarmnode run $(ARGS)

test: $(STAMP) test-lint test-unit test-docs test-integration ## everything that needs no extra software

test-lint: $(STAMP) ## style, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test-unit: $(STAMP) ## no sockets, no sleeping, under a minute
	$(PYTEST) -q -n auto --dist worksteal -m "not slow" tests/unit tests/architecture tests/simulation

test-docs: $(STAMP) ## the documentation builds without a warning
	@mkdir -p build
	@# Not --quiet: that would hide warnings from --strict too.
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir build/site >build/mkdocs.log 2>&1 \
	    || { cat build/mkdocs.log; exit 1; }

test-integration: $(STAMP) ## real processes on loopback, and other people's truth
	$(PYTEST) -q -m "not slow" tests/contracts tests/traces tests/integration

test-interop: $(STAMP) $(JS)/node_modules/.complete $(PY)/.complete ## other implementations of what we compute and speak; what takes long
	SWARMNODE_REQUIRE_INTEROP=1 $(PYTEST) -q tests/interop
	$(PYTEST) -q -m slow tests/unit tests/contracts tests/traces tests/integration tests/simulation

$(JS)/node_modules/.complete: $(JS)/package-lock.json
	npm ci --silent --no-fund --no-audit --prefix $(JS)
	touch $@

# py-libp2p needs other versions of what we use: an environment of its own.
$(PY)/.complete: tests/interop/py/requirements.txt
	$(PYTHON) -m venv --clear $(PY)
	$(PY)/bin/python -m pip install -qq --disable-pip-version-check -r $<
	touch $@

test-clients: $(STAMP) ## official SDKs and command-line clients
	$(PYTEST) -q tests/clients

test-browser: $(STAMP) ## the page in a real Chromium
	npm ci --silent --no-fund --no-audit --prefix tests/browser
	SWARMNODE_REQUIRE_BROWSER=1 $(PYTEST) -q tests/browser

nightly: $(STAMP) ## everything, long
	$(MAKE) test test-interop test-clients test-browser
	$(BIN)/python -m benchmarks.simulation --out build/benchmarks

docs-reference: $(STAMP) ## write the generated pages of docs/reference again
	$(BIN)/swarmnode config reference >docs/reference/configuration.md
	$(BIN)/swarmnode config reference --commands >docs/reference/cli.md
	$(BIN)/python -m swarmnode.api.openai_tables >docs/reference/openai-fields.md

docs: $(STAMP) ## build the documentation into build/site
	$(BIN)/mkdocs build --strict --site-dir build/site

guide-model: $(STAMP) ## train the built-in guide model again (about an hour)
	$(BIN)/python packaging/guide_model/build.py

bench: $(STAMP) ## the figures of docs/benchmarks
	$(BIN)/python docs/benchmarks/node.py

dist: $(STAMP) ## wheel and sdist
	$(BIN)/python -m build --outdir dist .

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
