"""Questions drafted from documents, to be looked through: by rules."""
