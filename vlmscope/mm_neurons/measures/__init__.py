"""Sets of a noun's best neurons, compared over words, pictures, layers and activations."""
