"""Vectors that steer, answers under them, what became of these, and how far apart states of answers lie."""
