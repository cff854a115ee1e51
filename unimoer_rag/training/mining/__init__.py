"""Hard negatives and a teacher's scores: what a model makes of the groups of `data`."""
