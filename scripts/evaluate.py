#!/usr/bin/env python3
"""Measure a checkpoint on every development set, one `unimoer-rag eval` each.

python scripts/evaluate.py --checkpoint unimoer-minilm --data DIR --out results/unimoer-minilm

DIR holds the data sets in the BEIR layout. Results that are there already are skipped, so an
interrupted run goes on where it was. Without --out, results go to results/<checkpoint's name>.

Where whole pipelines answer, what each stage adds is measured too: NAME-dev-retrieval.json reads
what was found without reranking, NAME-dev-hybrid.json fuses BM25 into the first stage. What the
reader's confidence is worth goes to CHECKPOINT-abstention.json beside the folder.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

# Data set -> options beside its folder and split; DIR stands for that folder.
SETS = {
    "nq": "",
    "nq-qed": "--parts answers",
    "trec-dl-2021": "--run DIR/run.bm25.trec.gz",
    "squad-dev": "--parts answers --limit 1000",
    "squad2-dev": "--parts answers --limit 1000",
    "hotpotqa": "",
    "musique": "",
    "triviaqa-distant": "--limit 400",
}
SPLIT = "dev"

# Not a set but a question to two of them: does the confidence tell what has an answer?
ABSTENTION = "abstention"

# What the stages of a pipeline are measured on, and the pipelines beside the default one.
STAGED = ("nq", "hotpotqa", "musique", "triviaqa-distant")
VARIANTS = {
    "": "",
    "-retrieval": "--parts answers --rerank 0",
    "-hybrid": "--parts answers --mode hybrid",
}

# What a checkpoint without a trained reader can be measured by.
RANKING = "--parts retrieval,rerank"


def command(checkpoint: str, name: str, variant: str = "", *, ranking_only: bool = False) -> str:
    """The command of one data set, as a reader would type it."""
    options = [SETS[name].replace("DIR", f"DIR/{name}"), VARIANTS[variant]]
    if ranking_only:
        options.append(RANKING)
    elif name in STAGED:
        options.append("--index INDEX")  # encoded once for all variants
    typed = f"unimoer-rag eval --checkpoint {shlex.quote(checkpoint)} --data DIR/{name}"
    return " ".join(filter(None, [typed, f"--split {SPLIT}", *options]))


def measure(typed: str, data: Path, index: Path, target: Path) -> None:
    """Run one command and keep its result, with the command in it."""
    words = [
        str(index) if word == "INDEX" else word.replace("DIR/", f"{data}/", 1)
        for word in shlex.split(typed)[1:]
    ]
    part = target.with_suffix(".part")
    subprocess.run(
        [sys.executable, "-m", "unimoer_rag.cli.main", *words, "--json", str(part)], check=True
    )
    result = {"command": f"{typed} --json OUT", **json.loads(part.read_text(encoding="utf-8"))}
    part.write_text(compact(result), encoding="utf-8")
    part.replace(target)


def measure_abstention(checkpoint: str, data: Path, target: Path) -> None:
    """Run `scripts/measure_abstention.py`."""
    script = Path(__file__).with_name("measure_abstention.py")
    words = [str(script), "--checkpoint", checkpoint, "--data", str(data), "--json", str(target)]
    subprocess.run([sys.executable, *words], check=True)


def compact(result: dict[str, Any]) -> str:
    """JSON with a line for each question: short, and easy to compare."""
    text = json.dumps(result, indent=2, ensure_ascii=False)
    # The innermost objects and lists, which hold numbers and names only.
    return re.sub(r"[{\[][^{}\[\]]*[}\]]", lambda found: " ".join(found[0].split()), text) + "\n"


def main() -> None:
    """Parse, then measure what is missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", default="unimoer-minilm")
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--out", type=Path, help="folder of the results")
    parser.add_argument(
        "--sets", nargs="+", choices=[*SETS, ABSTENTION], default=[*SETS, ABSTENTION]
    )
    parser.add_argument(
        "--ranking-only", action="store_true", help="for a backbone, whose reader is untrained"
    )
    options = parser.parse_args()
    out = options.out or Path("results") / Path(options.checkpoint).name
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.sets:
            if name == ABSTENTION:
                target = out.with_name(f"{out.name}-{ABSTENTION}.json")
                if not (options.ranking_only or target.exists()):
                    measure_abstention(options.checkpoint, options.data, target)
                continue
            if options.ranking_only and "--parts answers" in SETS[name]:
                continue
            for variant in VARIANTS if name in STAGED and not options.ranking_only else ("",):
                target = out / f"{name.removesuffix(f'-{SPLIT}')}-{SPLIT}{variant}.json"
                if target.exists():
                    print(f"{target} is there already", file=sys.stderr)
                    continue
                typed = command(
                    options.checkpoint, name, variant, ranking_only=options.ranking_only
                )
                print(typed, file=sys.stderr)
                measure(typed, options.data, Path(scratch) / name, target)


if __name__ == "__main__":
    main()
