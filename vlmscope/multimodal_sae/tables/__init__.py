"""Layers and models, white pictures, wrong answers: Tables 3, 4, 9, 10 and 11 of the paper."""
