"""Sparse autoencoders, part by part; a part imports from those below it.

beyond       what the published system leaves open: other seeds, duplicates, absorption, families, other directions
tables       layers and models, white pictures, wrong answers: Tables 3, 4, 9, 10 and 11 of the paper
look         what the pages of latents and of texts show
figures      what figures show: cards, concepts, cases, exported pictures
attribution  latents behind an answer, and those that stand out in one prompt
text         latents in texts: caches, names and ratings
steer        answers with latents held: which latents, what is answered, what became of it
score        how well names fit: regions, CLIP, consistency, judges; the best latent of every word
explain      names for latents of pictures: what an explainer is shown and asked, and who answers
cache        active latents of pictures on disk, the control beside them, and the pictures that excite a latent
quality      how good an autoencoder is: on states, and with the model running on what it rebuilds
train        streams of states, their order, the steps, and a run that can be killed
coder        the autoencoder: its variants, sparse products, files, and what its directions say
schemas      tables that steps with a model write and pages read
"""
