"""Vector sets: places in a model, spans of answers, captures that have them, files."""
