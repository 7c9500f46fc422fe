"""What a reader of this system's tables who knows the published work is told (docs/llava_interp.md)."""

UNSEEN = "tables of the paper were not seen: the column paper has numbers from public notes of people who read them"
ABLATION = (
    UNSEEN,
    "patches follow what the image processor does; the released grid misses a quarter of them (objects.geometry)",
    "gradients are of the answer's logit; the released code takes that of the token that opens every text",
    "matched: as many tokens beside the object, for every picture by itself; fewer where there are not as many",
)
KNOCKOUT = (
    UNSEEN,
    "windows are the published ones scaled to the depth of the decoder; several may be the same in a shallow one",
    "random sources and the way through the question are ours",
)
LENS = (
    UNSEEN,
    "the last layer's states are not normed a second time; layer 0 is what enters the decoder",
    "how the paper matches a class was not seen: strict and lenient, first and first k tokens are given",
)
TRACING = (
    "not part of the published work",
    "share: mean gain, of the mean probability that the corruption took; behind the last block nothing returns",
)
SEVERAL = (
    "not part of the published work",
    "a picture counts with one pair of objects; patches of the other object are never taken away",
)
ATTENTION = (
    "not part of the published work; weights of attention say little by themselves about what an answer rests on",
    "rollout: product over the window of half the mean of the heads and half the identity",
    "flow: largest flow through these numbers as capacities; as many random tokens stand beside the object's",
)
TUNED = (
    "not part of the published work",
    "the affine maps are fitted on states at visual positions of another split, towards the last block's output",
)
CHOICES = (
    "not part of the published work",
    "lens, named, unnamed and spared know the class's name, object its place; the other rules know neither",
)
LAYERS = (
    "not part of the published work, which replaces tokens where they enter the decoder",
    "what takes a state's place is the mean state of visual tokens at the same layer",
)
SPOKEN = (
    "not part of the published work, whose blocked attention is of one token",
    "everything that is written is blocked like the last position of the prompt; random sources are as many others",
)
PAIRS = (
    "not part of the published work",
    "pairs count whose two answers are both right; the twin's object stands in a rectangle cut out of another picture",
)
DETECTOR = (
    "not part of the published work",
    "elsewhere: the same class's score in another picture, where it may be too; absent objects are drawn",
)
