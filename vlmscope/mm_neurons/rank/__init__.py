"""Neurons behind every noun: contributions, gradients, exact parts of the logit, lists, words of neurons."""
