"""Concept dictionaries: ways to decompose, files, all of one vector set with diagnostics, their tables."""
