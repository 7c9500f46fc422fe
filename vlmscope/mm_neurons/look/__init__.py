"""What the gallery, the catalogue and the examples show; what every stage cost."""
