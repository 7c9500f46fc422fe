"""Released files of results: written in their form, and read as records."""
