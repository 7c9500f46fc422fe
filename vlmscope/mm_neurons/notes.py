"""What a reader of this system's tables who knows the published work is told (docs/mm_neurons.md)."""

UNSEEN = "no table of the paper was seen: the column paper is empty"
MEASURES = (UNSEEN, "the definition of the measure is ours, under the paper's words")
COMPARED = ("ours: the released code has had either activation, under one name",)
PERTURB = (
    UNSEEN,
    "sigma and k are ours: the released code has no values, and the paper's were not seen",
    "neurons set to zero are ours: the released code knows noise alone",
)
EDIT = (UNSEEN, "the methods and their evaluation are ours: no editing is released, and the paper's was not seen")
