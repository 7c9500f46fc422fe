"""Noise on a noun's neurons, and captions without them, beside random neurons."""
