"""Draw scenes: a pure function of domain, seed and frame number, the same in every process."""

import random

import numpy as np

from vlmscope.errors import VlmscopeError
from vlmscope.world import document, driving, everyday, medical, remote
from vlmscope.world.canvas import noisy
from vlmscope.world.scene import DOMAINS, Scene
from vlmscope.world.words import Sketch

_SKETCHES = {
    "ad": driving.sketch,
    "med": medical.sketch,
    "rs": remote.sketch,
    "com": everyday.sketch,
    "doc": document.sketch,
}


def draw(domain: str, seed: int) -> Scene:
    """The scene with this number."""
    if domain not in _SKETCHES:
        raise VlmscopeError(f"There is no domain {domain!r}.", instead=f"one of {', '.join(DOMAINS)}")
    if seed < 0:
        raise VlmscopeError(f"The seed {seed} of a scene is negative.", instead="a whole number from 0")
    rng = _layout(domain, seed)
    sketch = _SKETCHES[domain](rng)
    # Shuffled, so that the first question of a scene is not always the same one.
    questions = rng.sample(sketch.questions, len(sketch.questions))
    return Scene(
        domain=domain,
        seed=seed,
        image=_shot(sketch, domain, seed, frame=0),
        mask=np.array(sketch.canvas.numbers),
        things=tuple(sketch.canvas.things),
        questions=tuple(questions),
        caption=sketch.caption,
    )


def frames(scene: Scene, n: int) -> list[np.ndarray]:
    """`n` shots of one scene that differ only in their noise, uint8 [64, 64, 3] each; the first is `scene.image`."""
    # Layout and noise have their own streams: drawing the layout again disturbs nothing.
    sketch = _SKETCHES[scene.domain](_layout(scene.domain, scene.seed))
    return [_shot(sketch, scene.domain, scene.seed, frame) for frame in range(n)]


def _layout(domain: str, seed: int) -> random.Random:
    # A whole number as seed: strings would be fine too, hashes of them would not.
    return random.Random(seed * len(DOMAINS) + DOMAINS.index(domain))


def _shot(sketch: Sketch, domain: str, seed: int, frame: int) -> np.ndarray:
    rng = np.random.default_rng([DOMAINS.index(domain), seed, frame])
    return noisy(np.asarray(sketch.canvas.picture), sketch.noise, rng)
