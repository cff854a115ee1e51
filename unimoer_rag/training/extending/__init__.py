"""New experts after the fact: what they learn from, and that nothing else changes."""
