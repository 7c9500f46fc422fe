"""Concepts and steering, part by part; a part imports from those below it.

pages         what pages show: cards, single samples, panels of shifts, a slider of steering; which pages there are
exchange      files of the released code, in and out: features, sets, dictionaries, forced answers, shifts, vectors
captions      captions while a model is steered to another style, and what became of them
learned       a vector for every prompt, written by a small network: its training, answers, POPE, MM-SafetyBench
shift         how concepts move when a model is fine-tuned: shifts, matches, held-out samples, sweeps, tables
cox           what dictionaries are worth: CLIPScore, BERTScore, drawn truth, the token, other models; tables
steer         vectors that steer, answers under them, what became of these, and how far apart states of answers lie
dictionaries  concept dictionaries: ways to decompose, files, all of one vector set with diagnostics, their tables
words         from states to words: the unembedding, words and pictures of concepts, which pieces count, lists of words
sets          vector sets: places in a model, spans of answers, captures that have them, files
"""
