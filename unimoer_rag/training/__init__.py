"""Training: a recipe and data sets in, a checkpoint out.

`run.train` does all of it; `recipe` says what a run is, `trainer` how a step goes, `objectives`
what each task learns from.
"""
