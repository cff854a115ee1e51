"""Questions drafted from a user's documents: written by rules or a language model, and checked."""
