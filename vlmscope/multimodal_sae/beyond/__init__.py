"""What the published system leaves open: other seeds, duplicates, absorption, families, other directions."""
