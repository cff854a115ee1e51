#!/usr/bin/env bash
# Build the wheels, install them away from the source tree, and ask a question.
# Dependencies come from the environment of $PYTHON, so that this takes seconds and no network.
set -euo pipefail
if [[ $# -gt 0 ]]; then # there are no arguments
  sed -n '2,3s/^# //p' "$0"
  [[ $1 == -h || $1 == --help ]] && exit 0
  echo "$0: unknown argument: $1" >&2 && exit 2
fi
cd "$(dirname "$0")/.."
python=$(realpath --no-symlinks "${PYTHON:-.venv/bin/python}")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export HF_HUB_OFFLINE=1 HAYSTACK_TELEMETRY_ENABLED=false
unset PYTHONPATH # which would go before the wheel

# The library's wheel, and those that bring it under the names that frameworks' users look for.
for project in . integrations/packages/*/; do
  "$python" -m build --wheel --no-isolation --outdir "$scratch" "$project" \
    >"$scratch/build.log" 2>&1 || { cat "$scratch/build.log"; exit 1; }
done

"$python" -m venv --without-pip "$scratch/venv"
here() { "$1" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }
# A path file adds the dependencies' folder but obeys no path file in it: not the editable install.
here "$python" >"$(here "$scratch/venv/bin/python")/dependencies.pth"
pip() { "$python" -m pip --disable-pip-version-check --python "$scratch/venv/bin/python" "$@"; }
pip install --quiet --no-deps --no-index --ignore-installed "$scratch"/unimoer_rag-*.whl

mapfile -t recipes < <(find training -name '*.yaml')
cd "$scratch"
venv/bin/python - "$scratch" "${recipes[@]}" <<'PYTHON'
import sys
from pathlib import Path

import unimoer_rag

home = Path(unimoer_rag.__file__)
assert home.is_relative_to(Path(sys.argv[1]).resolve()), f"imported from {home}, not the wheel"
assert (home.parent / "py.typed").is_file(), "the wheel lacks py.typed"
for recipe in sys.argv[2:]:
    assert (home.parent / "_presets" / recipe).is_file(), f"the wheel lacks {recipe}"
assert (home.parent / "_presets/pipelines/local.yaml").is_file(), "the wheel lacks the pipelines"
assert (home.parent / "_presets/pipelines/server/compose.yaml").is_file(), "no compose file"
assert (home.parent / "_presets/handbook/returns-and-refunds.md").is_file(), "no samples"
assert (home.parent / "generation/prompts/cited.yaml").is_file(), "the wheel lacks the prompt"
templates = home.parent / "evaluation/report/templates"
assert (templates / "report.html.jinja").is_file(), "the wheel lacks the report"
assert (templates / "report.css").is_file(), "the wheel lacks the report's style"

import dspy_unimoer
import haystack_integrations.common.unimoer
import haystack_integrations.components.embedders.unimoer
import haystack_integrations.components.rankers.unimoer
import haystack_integrations.components.readers.unimoer
import haystack_integrations.components.retrievers.unimoer
import langchain_unimoer
import llama_index.embeddings.unimoer
import llama_index.indices.managed.unimoer
import llama_index.llms.unimoer
import llama_index.postprocessor.unimoer_rerank
import llama_index.response_synthesizers.unimoer
import llama_index.retrievers.unimoer
import llama_index.sparse_embeddings.unimoer
from haystack_integrations import components
from llama_index import llms, postprocessor

for adapter in (
    dspy_unimoer,
    haystack_integrations.common.unimoer,
    components.embedders.unimoer,
    components.rankers.unimoer,
    components.readers.unimoer,
    components.retrievers.unimoer,
    langchain_unimoer,
    llama_index.embeddings.unimoer,
    llama_index.indices.managed.unimoer,
    llama_index.llms.unimoer,
    llama_index.postprocessor.unimoer_rerank,
    llama_index.response_synthesizers.unimoer,
    llama_index.retrievers.unimoer,
    llama_index.sparse_embeddings.unimoer,
):
    place = Path(adapter.__file__)
    assert place.is_relative_to(home.parent.parent), f"{place} is not the wheel's"
    assert (place.parent / "py.typed").is_file(), f"the wheel lacks py.typed beside {place}"
# Whoever installs another integration shares these folders with it.
for shared in (llms, postprocessor, components, components.retrievers):
    assert shared.__file__ is None, f"{shared.__name__} is no namespace"
PYTHON
venv/bin/unimoer-rag demo
venv/bin/unimoer-rag ask "How long do refunds take?" --docs handbook --json >answer.json
venv/bin/python - <<'PYTHON'
import json

found = json.load(open("answer.json", encoding="utf-8"))
source = found["citations"][0]["source"] if found["citations"] else None
print(f"installed wheel: {found['answer']!r} from {source}")
assert "14 days" in (found["answer"] or ""), found["answer"]
assert source == "handbook/returns-and-refunds.md", source
PYTHON

# Beside the library, whose modules stay whole when one of these goes.
modules() {
  venv/bin/python -c 'import dspy_unimoer, langchain_unimoer, llama_index.embeddings.unimoer
import llama_index.indices.managed.unimoer, llama_index.llms.unimoer
import llama_index.postprocessor.unimoer_rerank, llama_index.response_synthesizers.unimoer
import llama_index.retrievers.unimoer, llama_index.sparse_embeddings.unimoer
for kind in ("embedders", "rankers", "readers", "retrievers"):
    __import__(f"haystack_integrations.components.{kind}.unimoer")'
}
adapters=(dspy_unimoer-*.whl langchain_unimoer-*.whl llama_index_*.whl unimoer_haystack-*.whl)
for wheel in "${adapters[@]}"; do
  name=${wheel%%-*}
  pip install --quiet --no-index "$wheel" # which finds that its dependency is met
  modules
  pip uninstall --quiet --yes "$name"
  modules
  pip install --quiet --no-index "$wheel"
done
pip uninstall --quiet --yes unimoer-rag
if modules 2>missing.log; then echo "the adapters outlive the library" >&2 && exit 1; fi
pip install --quiet --no-deps --no-index --ignore-installed unimoer_rag-*.whl
modules
echo "installed, imported and uninstalled: ${adapters[*]}"
