"""Captions as a model wrote them, and their nouns."""
