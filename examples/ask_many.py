"""Ask every question of the handbook at once, and count the answers that are right.

python examples/ask_many.py
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from unimoer_rag import RagPipeline, UnifiedRetriever

HERE = Path(__file__).parent


async def main() -> None:
    retriever = UnifiedRetriever("unimoer-minilm")  # the index is in memory
    retriever.add_path(HERE / "handbook")
    pipeline = RagPipeline(retriever)

    lines = (HERE / "handbook_questions.jsonl").read_text(encoding="utf-8").splitlines()
    questions = [json.loads(line) for line in lines]
    # All questions wait in one queue; the engine fills its batches from all of them.
    answers = await asyncio.gather(*(pipeline.aanswer(q["question"]) for q in questions))

    right = 0
    for question, answer in zip(questions, answers, strict=True):
        accepted = question["answers"]
        correct = answer.text in accepted if accepted else answer.text is None
        right += correct
        print("right" if correct else "WRONG", "|", question["question"], "|", answer)
    print(f"{right} of {len(questions)} answered as expected")


if __name__ == "__main__":
    asyncio.run(main())
