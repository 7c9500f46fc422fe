"""Active latents of pictures on disk, the control beside them, and the pictures that excite a latent."""
