"""Hostile inputs, and the doors of the library that they are pushed through."""
