"""The loop: one step after the other, on one process or many, saved so that it can go on."""
