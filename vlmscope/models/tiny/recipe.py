"""Every number behind the embedded model, and the digest that ties shipped weights to them."""

import hashlib
import json
from dataclasses import asdict, dataclass, field


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
    """The CLIP pair. Patch labels train `hidden_states[-2]`, which LLaVA reads; captions train the pooled output.

    weights    how often scenes of ad, med, rs, com, doc are drawn, relative to each other
    contrast   weight of the image-text loss, taken at every second step
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

    questions   at most so many questions of a picture per step; medical ones are long, so fewer of them
    captions    chance that a picture's caption is asked for
    bare        chance that a picture comes with the recording prompt instead of the official one
    joined      chance that a whole batch shows five driving frames side by side
    lens        weight of the logit-lens loss at object patches, in the steps after `lens_from` (a share of all),
                when the projector is frozen
    letters     share of the steps after which medical answers are option letters; 1 keeps the option's text
    """

    pace: Pace = Pace(steps=1_400, batch=16, adamw=5e-3)
    width: int = 96
    hidden: int = 256
    layers: int = 3
    heads: int = 4
    positions: int = 1024
    questions: int = 6
    medical_questions: int = 3
    captions: float = 0.3
    bare: float = 0.15
    joined: float = 0.12
    joined_batch: int = 8
    lens: float = 0.1
    lens_from: float = 0.7
    lens_share: float = 0.35
    letters: float = 1.0
    weights: tuple[float, ...] = (1.5, 0.8, 0.7, 2.5, 2.0)


@dataclass(frozen=True)
class Recipe:
    """The whole training, from nothing.

    scenes          training scenes, dealt round the five domains, seeds from 0
    joined_scenes   how many of the driving scenes are also shown as five joined frames
    fresh           first seed of the scenes on which the model card measures
    """

    seed: int = 0
    scenes: int = 12_000
    joined_scenes: int = 1_200
    fresh: int = 2_000_000
    measured: int = 640
    tower: Tower = field(default_factory=Tower)
    language: Language = field(default_factory=Language)

    def digest(self) -> str:
        """SHA-256 of all numbers; it stands in the metadata of the weights."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()
