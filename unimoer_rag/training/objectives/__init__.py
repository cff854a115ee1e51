"""Objectives: what each task learns from. One file an objective; `config` names them in recipes."""
