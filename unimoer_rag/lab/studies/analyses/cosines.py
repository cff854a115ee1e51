"""Do the tasks' gradients agree? Their cosines in each layer, as training logged them."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from unimoer_rag.lab.studies.analyses.subject import Subject
from unimoer_rag.lab.studies.panels import Findings, Panel, thinned

__all__ = ["cosines"]

_POINTS = 10  # of a line through training: single batches say little

_Places = dict[str, list[tuple[float, float]]]


def cosines(subject: Subject) -> Findings:
    """Cosine of two objectives' gradients by layer and step; below 0 they pull apart."""
    by_place: dict[str, _Places] = defaultdict(lambda: defaultdict(list))
    for report in subject.run.log:
        for place, pairs in report.get("cosines", {}).items():
            for pair, value in pairs.items():
                told = f"layer {int(place) + 1}" if place.isdigit() else place
                by_place[pair][told].append((float(report["step"]), float(value)))
    panels: list[Panel] = []
    numbers: dict[str, float] = {}
    for pair, places in by_place.items():
        names = " and ".join(pair.split("|"))
        every = [value for points in places.values() for _, value in points]
        numbers[f"cosine of the gradients of {names}"] = float(np.mean(every))
        numbers[f"share of cosines below 0, {names}"] = float(np.mean(np.array(every) < 0))
        panels += [
            Panel(
                title=f"Gradients of {names}, through training",
                kind="lines",
                x="step",
                y="cosine",
                series={place: thinned(points, _POINTS) for place, points in places.items()},
                note="Over the parameters that both reach, averaged over neighbouring steps.",
            ),
            Panel(
                title=f"Gradients of {names}, by layer",
                kind="bars",
                x="",
                y="mean cosine",
                series={
                    names: [
                        (place, float(np.mean([v for _, v in points])))
                        for place, points in places.items()
                    ]
                },
            ),
        ]
    return Findings(panels=tuple(panels), numbers=numbers)
