"""A vector for every prompt, written by a small network: its training, answers, POPE, MM-SafetyBench."""
