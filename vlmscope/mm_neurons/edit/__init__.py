"""One word of captions turned into another by output weights: places, methods, jobs, tables."""
