# make demo        from a fresh clone to an answer with its sources
# make test        lint, types and the whole suite, offline once everything is installed
# make frameworks  the frameworks' tests with the lowest and highest versions declared
# make vllm        the tests of a real vLLM server, in an environment of its own (.vllm, 3 GB)
# make docs        write the generated pages and tables anew
#
# Python 3.11 or later: make demo PYTHON=python3.12

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Installed first and by itself: the newest torch may bring gigabytes of GPU packages.
TORCH := torch==2.13.0

# Models come from the installed wheels; nothing is asked of the network when they run.
export HF_HUB_OFFLINE := 1
export TOKENIZERS_PARALLELISM := false

.PHONY: demo test frameworks vllm docs wheel-check clean

demo: $(VENV)/.demo
	rm -rf demo.index
	$(BIN)/unimoer-rag index examples/handbook --index demo.index
	$(BIN)/unimoer-rag ask "How long do refunds take?" --index demo.index
	$(BIN)/unimoer-rag ask "Who won the 1998 World Cup?" --index demo.index

test: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest

docs: $(VENV)/.dev
	$(BIN)/python scripts/generate_cli_docs.py
	$(BIN)/python scripts/generate_recipe_docs.py
	$(BIN)/python scripts/generate_study_docs.py
	$(BIN)/python scripts/results_table.py

frameworks: $(VENV)/.dev
	$(BIN)/python scripts/check_frameworks.py

# Exit code 3 of the installation: this machine has no vLLM to offer. That is said, and no failure.
vllm: $(VENV)/.dev
	@status=0; $(BIN)/python scripts/vllm_server.py install --env .vllm || status=$$?; \
	if [ $$status -eq 3 ]; then \
	  echo "vllm: NOT RUN, vLLM cannot be installed here (see above)"; \
	elif [ $$status -ne 0 ]; then exit $$status; \
	else UNIMOER_VLLM_ENV=$(CURDIR)/.vllm $(BIN)/pytest -m vllm tests/vllm_server; fi

wheel-check: $(VENV)/.dev
	PYTHON=$(BIN)/python scripts/check_wheel.sh

clean:
	rm -rf $(VENV) demo.index dist

# A stamp marks what is installed, so that the next call installs nothing.
$(VENV)/.torch:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed: make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	touch $@

$(VENV)/.demo: $(VENV)/.torch pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[minilm]'
	touch $@

$(VENV)/.dev: $(VENV)/.torch pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@
