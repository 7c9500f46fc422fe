"""What some benchmarks share; the modules beside this folder are the benchmarks."""
