"""What pages show: cards, single samples, panels of shifts, a slider of steering; which pages there are."""
