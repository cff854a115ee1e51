"""Objectives: what each task learns from. One file an objective; `kinds` names them for recipes."""
