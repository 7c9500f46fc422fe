"""What the last token pays to an object, directly and through other positions."""
