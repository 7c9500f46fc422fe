"""Answers without some visual tokens: which ones, how chosen, at which layer, of which of two objects."""
