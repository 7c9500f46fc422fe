"""What the vocabulary says of states, plainly and behind an affine map, and what it says of invented objects."""
