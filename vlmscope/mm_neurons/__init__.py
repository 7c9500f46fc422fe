"""Neurons that write a caption's words, part by part; a part imports from those below it.

exchange  results as files of the released code, and such files as results
look      what the gallery, the catalogue and the examples show; what every stage cost
edit      one word of captions turned into another by output weights: places, methods, jobs, tables
perturb   noise on a noun's neurons, and captions without them, beside random neurons
measures  sets of a noun's best neurons, compared over words, pictures, layers and activations
image     what neurons do at the image's tokens: maps, masks, and the tokens in another order
rank      neurons behind every noun: contributions, gradients, exact parts of the logit, lists, words of neurons
text      captions as a model wrote them, and their nouns
runs      captions read and written anew, with output weights changed, and what the model then holds
schemas   tables that steps hand to each other; beside them what is read of a capture, file names, notes for readers
"""
