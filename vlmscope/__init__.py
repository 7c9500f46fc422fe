"""Look inside vision-language models: captures, neurons, concepts, edits."""

__version__ = "0.1.0"
