# Everything a developer or CI runs. `make help` lists it.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TOOLS := .tools
PEERS := .peers
# Test processes; the suites start real servers, so more than the cores helps nobody.
TEST_WORKERS ?= 2
PYTEST := $(BIN)/pytest tests -n $(TEST_WORKERS) --dist loadscope
PACKAGES := groupseal encryption_service member_client approver directory scim_gateway worker embedded
CHECKED := $(PACKAGES) $(wildcard tests tools benchmarks)
UV_COMPILE := $(BIN)/uv pip compile --quiet --no-config --universal --generate-hashes \
	--python-version 3.11 --custom-compile-command "make lock"

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

.PHONY: install
install: $(VENV)/.project ## Make .venv with every pinned dependency and the project, editable

# The stamps hold a hash of what was installed, so a changed date alone installs nothing again.
$(VENV)/.requirements: requirements/all.txt tools/install_requirements.sh
	@PYTHON=$(PYTHON) tools/install_requirements.sh $(VENV) $< $@

$(VENV)/.project: $(VENV)/.requirements pyproject.toml
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: demo
demo: install ## Start the whole product here and walk through it
	$(BIN)/groupseal demo

.PHONY: test
test: install ## Run the fast tests (no npm or Debian tools needed)
	$(PYTEST) -m "not slow and not tools and not soak"

.PHONY: test-all
test-all: install tools ## Run what `make test` leaves out: slow tests, and those that need tools
	$(PYTEST) -m "slow or tools"

.PHONY: soak
soak: install ## Run the model tests for as long as many examples take
	$(PYTEST) -m soak

.PHONY: tools
tools: ## Fetch helm and kubectl for `make test-all` into .tools/bin
	@tools/install_tools.sh $(TOOLS)

.PHONY: lint
lint: install ## Check style, types, import contracts, and the gRPC contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(CHECKED)
	$(BIN)/lint-imports
	@if [ -d proto ]; then \
	  $(BIN)/buf lint && \
	  if [ -f proto/baseline.binpb ]; then $(BIN)/buf breaking --against proto/baseline.binpb; \
	  else echo "proto/baseline.binpb is missing: run 'make baseline' and commit it" >&2; exit 1; fi; \
	fi

.PHONY: format
format: install ## Format the code and apply the safe fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: proto
proto: install ## Make encryption_api/ again from proto/
	$(BIN)/python tools/generate_proto.py encryption_api

.PHONY: proto-check
proto-check: install ## Fail if encryption_api/ is not what proto/ yields
	$(BIN)/python tools/generate_proto.py --check encryption_api

.PHONY: baseline
baseline: install ## Accept the present gRPC contract as the one not to break (at a release)
	$(BIN)/buf build -o proto/baseline.binpb

.PHONY: bench
bench: install ## Run the benchmarks
	$(BIN)/python -m benchmarks

.PHONY: bench-scim
bench-scim: install ## Measure the SCIM gateway beside four other servers (needs npm; 15 minutes)
	@PYTHON=$(PYTHON) benchmarks/scim/peers/install.sh $(PEERS)
	$(BIN)/python -m benchmarks.scim --peers $(PEERS)

.PHONY: lock
lock: install ## Compile requirements/ from pyproject.toml; LOCK_FLAGS=--upgrade for newer releases
	$(UV_COMPILE) $(LOCK_FLAGS) pyproject.toml --all-extras --group dev \
	  --output-file requirements/all.txt
	$(UV_COMPILE) $(LOCK_FLAGS) pyproject.toml --extra service --constraint requirements/all.txt \
	  --output-file requirements/service.txt
	$(UV_COMPILE) $(LOCK_FLAGS) pyproject.toml --extra vendor --constraint requirements/all.txt \
	  --output-file requirements/vendor.txt
	$(UV_COMPILE) $(LOCK_FLAGS) benchmarks/scim/peers/requirements.in \
	  --output-file benchmarks/scim/peers/requirements.txt

.PHONY: clean
clean: ## Remove everything made here, .venv and .tools included
	rm -rf $(VENV) $(TOOLS) $(PEERS) dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
