"""Latents behind an answer, and those that stand out in one prompt."""
