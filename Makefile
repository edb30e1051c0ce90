# The house's few commands. Each does all of its own set-up; a stamp makes repeats quick.
#   make setup        .venv with the run time            make setup-train   the same plus torch
#   make setup-live   the same plus the studio page's server
#   make demo         a talking video, and what it cost  make test          everything CI checks
#   make check        test without the training suite    make bench         milliseconds per stage
#   make test-parity  our networks against stored outputs of the official ones (LIVEFACE_PARITY, or ../shared/parity)
#   make test-agents  the faces of LiveKit and Pipecat against those packages, in .venv-agents (0.9 GB)
#   make test-web     the browser's run time: in node against Python, and the exported page in a headless Chromium
SHELL := /bin/sh
VENV ?= .venv
BIN := $(VENV)/bin
# The first interpreter of this list that runs and is 3.11 or 3.12; override with PYTHON=...
PYTHON ?= $(shell for p in python3 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' >/dev/null 2>&1 && { echo $$p; break; }; done)
# Torch's own index carries the build without CUDA (0.2 GB instead of 4.6 GB); used only where it can be reached.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
AGENTS ?= .venv-agents
AGENTS_PIP := $(AGENTS)/bin/python -m pip --disable-pip-version-check --quiet
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
NO_TORCH := --ignore tests/nets --ignore tests/train --ignore tests/export --ignore tests/parity
export OMP_WAIT_POLICY := passive

.PHONY: setup setup-live setup-dev setup-train demo test test-train test-parity test-agents test-web check lint bench evaluate size clean

setup: $(VENV)/.run
setup-live: $(VENV)/.live
setup-dev: $(VENV)/.dev
setup-train: $(VENV)/.train

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "liveface needs Python 3.11 or 3.12; none was found. Try: make PYTHON=/path/to/python3.12"; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install -c constraints.txt -e .
	@touch $@

$(VENV)/.live: $(VENV)/.run
	$(PIP) install -c constraints.txt -e '.[live]'
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	$(PIP) install -c constraints.txt -e '.[dev,live,webrtc]'
	@touch $@

$(VENV)/.train: $(VENV)/.dev
	$(PIP) install -c constraints.txt $$(tools/torch_index.sh $(TORCH_INDEX)) -e '.[dev,live,webrtc,train,gpu]'
	@touch $@

demo: $(VENV)/.run
	@mkdir -p out
	$(BIN)/liveface demo -o out/demo.mp4

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

check: lint
	$(BIN)/pytest $(NO_TORCH)

# Everything, where a build of torch without CUDA can be had; else all but the training suite, and it says so.
test: lint
	@if $(PIP) install --dry-run --no-deps $$(tools/torch_index.sh $(TORCH_INDEX)) 'torch==2.13.0+cpu' >/dev/null 2>&1; \
	then $(MAKE) --no-print-directory $(VENV)/.train && $(BIN)/pytest; \
	else $(BIN)/pytest $(NO_TORCH) && echo "the training suite was left out: no CPU build of torch in reach; try make test-train"; fi

test-train: $(VENV)/.train
	$(BIN)/pytest tests/nets tests/train tests/export tests/parity

# All stored outputs of the official networks, with pseudo-weights of full size: minutes, and gigabytes of memory.
test-parity: $(VENV)/.train
	LIVEFACE_PARITY=$${LIVEFACE_PARITY:-../shared/parity} $(BIN)/pytest tests/parity

$(AGENTS)/bin/python:
	$(PYTHON) -m venv $(AGENTS)

$(AGENTS)/.agents: pyproject.toml constraints-agents.txt | $(AGENTS)/bin/python
	$(AGENTS_PIP) install -c constraints-agents.txt -e '.[livekit,pipecat]' pytest
	@touch $@

# In an environment of their own: those packages want other versions than we pin.
test-agents: | $(AGENTS)/bin/python
	@if [ -f $(AGENTS)/.agents ] || $(AGENTS_PIP) download --no-deps -d $(AGENTS)/reach \
		-c constraints-agents.txt livekit-agents pipecat-ai >/dev/null 2>&1; \
	then $(MAKE) --no-print-directory $(AGENTS)/.agents && $(AGENTS)/bin/python -m pytest tests/agents/test_*.py tests/agents/packages; \
	else echo "the tests against LiveKit and Pipecat were left out: their packages are not in reach; try make test-agents"; fi

# Needs node, npm and Chromium, which nothing else here does; the built scripts are in the package.
test-web: $(VENV)/.dev
	@if command -v npm >/dev/null && command -v chromium >/dev/null && (cd web && npm ci --no-audit --no-fund --ignore-scripts); \
	then $(BIN)/pytest tests/web/test_*.py tests/web/browser; \
	else echo "the tests of the browser's run time were left out: node, npm, its registry or Chromium are not in reach; try make test-web"; fi

bench: $(VENV)/.run
	$(BIN)/liveface bench

evaluate: $(VENV)/.run
	$(BIN)/liveface evaluate

size: $(VENV)/.run
	$(BIN)/python tools/installed_size.py

clean:
	rm -rf $(VENV) $(AGENTS) build dist out .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
