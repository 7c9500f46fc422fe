"""Every number behind the embedded models, and the digest that ties shipped weights to them."""

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace


@dataclass(frozen=True)
class Pace:
    """How fast one stage learns: Muon for the matrices inside layers, AdamW for all other parameters.

    warm, hold   shares of the steps: the rate climbs until `warm`, stays until `hold`, then falls to `floor` times it
    """

    steps: int
    batch: int
    muon: float = 0.02
    adamw: float = 3e-3
    decay: float = 0.05
    momentum: float = 0.95
    warm: float = 0.08
    hold: float = 0.4
    floor: float = 0.02
    clip: float = 1.0


@dataclass(frozen=True)
class Tower:
    """The vision tower. Patch labels train the states that the connector reads; captions train CLIP's pooled output.

    weights    how often scenes of ad, med, rs, com, doc are drawn, relative to each other
    contrast   weight of the image-text loss, taken at every second step (CLIP alone)
    text_*     the other side of CLIP
    """

    pace: Pace = Pace(steps=800, batch=64)
    width: int = 96
    hidden: int = 256
    layers: int = 4
    heads: int = 4
    text_width: int = 64
    text_layers: int = 2
    text_length: int = 64
    projection: int = 64
    contrast: float = 0.5
    background: float = 0.3
    minor: float = 0.7
    weights: tuple[float, ...] = (1.5, 0.7, 0.7, 4.0, 1.2)


@dataclass(frozen=True)
class Language:
    """Connector and language model.

    queries     positions of a connector that reads the picture with queries of its own, and its layers and units
    questions   at most so many questions of a picture per step; medical ones are long, so fewer of them
    captions    chance that a picture's caption is asked for
    bare        chance that a picture comes with the recording prompt instead of the official one
    plain       chance that it comes with the question alone inside the chat template
    joined      chance that a whole batch shows five driving frames side by side
    lens        weight of the logit-lens loss at object patches, in the steps after `lens_from` (a share of all),
                when the projector is frozen; 0 where image tokens stand for no place
    """

    pace: Pace = Pace(steps=1_000, batch=16, adamw=5e-3)
    width: int = 96
    hidden: int = 256
    layers: int = 3
    heads: int = 4
    positions: int = 1024
    queries: int = 0
    query_layers: int = 2
    query_hidden: int = 192
    questions: int = 6
    medical_questions: int = 3
    captions: float = 0.3
    bare: float = 0.15
    plain: float = 0.25
    joined: float = 0.0
    joined_batch: int = 8
    lens: float = 0.1
    lens_from: float = 0.7
    lens_share: float = 0.35
    weights: tuple[float, ...] = (1.5, 0.8, 0.7, 2.5, 2.0)


@dataclass(frozen=True)
class Recipe:
    """The whole training of one model, from nothing.

    body            architecture: a name in `bodies`
    tower_of        recipe whose trained tower is taken over; empty trains an own one
    start_of        recipe whose trained decoder is gone on from, as LLaVA-NeXT went on from LLaVA 1.5; empty starts
                    from random weights
    language        None for CLIP, which has no language model
    scenes          training scenes, dealt round the five domains, seeds from 0
    joined_scenes   how many of the driving scenes are also shown as five joined frames
    fresh           first seed of the scenes on which the model card measures
    """

    body: str
    tower_of: str = ""
    start_of: str = ""
    seed: int = 0
    scenes: int = 12_000
    joined_scenes: int = 1_200
    fresh: int = 2_000_000
    measured: int = 640
    tower: Tower = field(default_factory=Tower)
    language: Language | None = field(default_factory=Language)

    def digest(self) -> str:
        """SHA-256 of all numbers, those of borrowed parts included; it stands in the metadata of the weights."""
        numbers = asdict(self)
        for part in ("tower_of", "start_of"):
            if other := numbers.pop(part):
                numbers[part] = RECIPES[other].digest()
        return hashlib.sha256(json.dumps(numbers, sort_keys=True).encode()).hexdigest()


def _steps(number: int, **changes: object) -> Language:
    return replace(Language(), pace=replace(Language().pace, steps=number), **changes)


_LONG = _steps(1_800)
# What goes on from a trained decoder moves less.
_ON = replace(_steps(900), pace=Pace(steps=900, batch=16, muon=0.01, adamw=3e-3, hold=0.2))
# Connectors with queries of their own are paid for by narrower layers elsewhere, and learn in both stages.
_QUERIES = replace(Language(), lens=0.0, queries=64)
_SHALLOW = Tower(layers=3, pace=replace(Tower().pace, steps=1_000))
_RESAMPLED = replace(_SHALLOW, pace=replace(_SHALLOW.pace, steps=1_300))

RECIPES = {
    "clip": Recipe("clip", language=None),
    "llava": Recipe("llava_next", "clip", "llava15", language=replace(_ON, joined=0.12)),
    "llava15": Recipe("llava", "clip", language=_LONG),
    # The same model from other seeds on another tower: how far results depend on the run.
    "clip-seed1": Recipe("clip", seed=1, language=None),
    "llava15-seed1": Recipe("llava", "clip-seed1", seed=1, language=_LONG),
    "llava15-seed2": Recipe("llava", "clip-seed1", seed=2, language=_LONG),
    "llava-llama2": Recipe("llava_llama2", "clip", "llava15", language=_ON),
    "llava-phi": Recipe("llava_phi", "clip", "llava15", language=_ON),
    "llava-next-llama3": Recipe("llava_next_llama3", "clip", language=_steps(1_200)),
    "llava-onevision": Recipe("llava_onevision", start_of="llava-next-llama3"),
    "blip": Recipe(
        "instructblip",
        tower=Tower(layers=3, hidden=192),
        # Each question is a row of its own here: fewer of them per picture, and more steps.
        language=replace(_LONG, lens=0.0, queries=16, query_hidden=96, hidden=96, questions=5),
    ),
    "idefics2": Recipe("idefics2", tower=_RESAMPLED, language=replace(_QUERIES, hidden=128)),
    "qwen2-vl": Recipe("qwen2_vl", language=_steps(1_200, lens=0.0, hidden=224)),
    "molmo": Recipe("molmo", language=_steps(2_400, lens=0.0, hidden=240)),
    "mplug-owl2": Recipe("mplug_owl2", tower=_SHALLOW, language=replace(_QUERIES, pace=_LONG.pace, hidden=160)),
}
