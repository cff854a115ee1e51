"""Measurements of memory and speed, each side by side with what it is compared to."""
