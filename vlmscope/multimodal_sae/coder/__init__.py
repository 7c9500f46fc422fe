"""The autoencoder: its variants, sparse products, files, and what its directions say."""
