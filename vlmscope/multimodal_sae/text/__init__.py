"""Latents in texts: caches, names and ratings."""
