"""Captions read and written anew, with output weights changed, and what the model then holds."""
