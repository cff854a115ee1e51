"""The command line: one file a command group, each a thin layer over one library call."""
