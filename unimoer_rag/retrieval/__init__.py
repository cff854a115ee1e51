"""Documents in, ranked passages out: readers, chunking, stores, and `UnifiedRetriever`."""
