"""How concepts move when a model is fine-tuned: shifts, matches, held-out samples, sweeps, tables."""
