"""Streams of states, their order, the steps, and a run that can be killed."""
