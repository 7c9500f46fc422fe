"""What figures show: cards, concepts, cases, exported pictures."""
