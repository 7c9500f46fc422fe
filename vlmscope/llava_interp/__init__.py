"""Visual tokens and the answers they carry, part by part; a part imports from those below it.

exchange   released files of results: written in their form, and read as records
look       what the pages of the lens show of a picture: tokens, attention, answers without some tokens
ablation   answers without some visual tokens: which ones, how chosen, at which layer, of which of two objects
tracing    states given back to a model that lost the picture, or put into a picture with another object
attention  what the last token pays to an object, directly and through other positions
lens       what the vocabulary says of states, plainly and behind an affine map, and what it says of invented objects
knockout   attention blocked in windows of layers, for one token and for whole descriptions
tables     what tables of records share: losses beside their controls, columns as people read them, published numbers
asking     pictures, objects, patches and prompts: what is asked, of which objects, under which conditions
schemas    columns of the records and tables of this system
"""
