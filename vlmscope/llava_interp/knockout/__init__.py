"""Attention blocked in windows of layers, for one token and for whole descriptions."""
