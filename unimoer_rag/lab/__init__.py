"""The laboratory: benchmarks, studies and baselines, which no application imports."""
