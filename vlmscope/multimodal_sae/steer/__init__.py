"""Answers with latents held: which latents, what is answered, what became of it."""
