"""Names for latents of pictures: what an explainer is shown and asked, and who answers."""
