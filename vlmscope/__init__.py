"""Look inside vision-language models: captures, neurons, concepts, edits."""
