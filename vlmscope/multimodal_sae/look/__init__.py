"""What the pages of latents and of texts show."""
