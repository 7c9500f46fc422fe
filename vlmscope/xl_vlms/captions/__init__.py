"""Captions while a model is steered to another style, and what became of them."""
