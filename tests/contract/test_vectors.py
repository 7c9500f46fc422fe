"""A set's vectors do not depend on the batch, nor on whether decoding or a second pass shows the states."""

from pathlib import Path

import numpy as np
import pytest

from vlmscope.capture import batches, plan, run, shard, steps
from vlmscope.datasets import karpathy
from vlmscope.models import load
from vlmscope.models.inputs import rounds
from vlmscope.samples import picture
from vlmscope.store import files, spelling
from vlmscope.store.shards import Answer
from vlmscope.world.draw import draw
from vlmscope.xl_vlms.sets import needs, select
from vlmscope.xl_vlms.sets.select_files import means

WEIGHTS = Path(__file__).parents[2] / "weights"
TAKES = [{"site": site, "where": "emitting", "keep": "values"} for site in ("resid_post", "final_norm")]
READY = [
    {"site": site, "where": "word", "keep": "first", "words": ["dog", "cat"]} for site in ("resid_post", "final_norm")
]
N = 10


def states(loaded, samples, root, batch, takes):
    """Rows of every take and the answers; where takes ask for more than decoding shows, by a second pass."""
    resolved = plan.resolve(takes, loaded.family, loaded.config, "generate")
    ask = shard.prompts(loaded, karpathy, "chat")
    stream = batches.prefill(loaded, samples, ask, lambda one: picture(one, root), batch)
    assert rounds(loaded, samples, batch) >= N // batch
    noted, decoding = shard.Answers(), steps.Steps(loaded, resolved)
    if steps.suffice(resolved):
        kept = decoding.capture(noted.noted(batches.answered(loaded, stream, 20, decoding.reading)))
    else:
        kept = run.capture(loaded, resolved, noted.noted(batches.answered(loaded, stream, 20)))
    answers = [Answer(noted.tokens[row], noted.ended[row]) for row in range(N)]
    return {one.take.name: one.arrays for one in kept}, answers


def picked(kept, answers, spelled, **chosen):
    """Vectors of the last block and the final norm, as a set picks them."""
    settings = needs.filled(chosen)
    found = []
    for name in ("resid_post.emitting.values", "final_norm.emitting.values"):
        owners, bounds = kept[name]["sample"], []
        for number, answer in enumerate(answers):
            first = int(np.searchsorted(owners, number))
            own = select.spans(settings, select.Written([], answer.tokens, answer.end), spelled)
            bounds += [(first + start, first + stop) for start, stop in own]
        found.append(means(kept[name]["values"][:, -1], bounds))
    return found


@pytest.mark.parametrize("name", ["llava15", "idefics2", "molmo", "qwen2-vl"])
def test_batches_and_passes_give_the_same_vectors(name, tmp_path):
    files.write_json(model_of(name), tmp_path / "model.json")
    loaded = load.load(tmp_path / "model.json", "cpu")
    karpathy.write([draw("com", 700 + seed) for seed in range(N)], tmp_path, "train")
    samples = list(karpathy.read(tmp_path, "train", name="coco", query="describe the image."))
    spelled = spelling.spelling(tmp_path / "model.json")
    ways = [(1, TAKES), (4, TAKES), (4, TAKES + READY)]
    (alone, said), *others = [states(loaded, samples, tmp_path, *way) for way in ways]
    for rule in ({"words": ["dog", "cat"]}, {"rule": "before_end"}, {"rule": "range", "start": 1, "end": 3}):
        wanted = picked(alone, said, spelled, **rule)
        assert all(len(one) for one in wanted)
        for kept, answers in others:
            assert answers == said
            for one, other in zip(wanted, picked(kept, answers, spelled, **rule), strict=True):
                np.testing.assert_allclose(one, other, atol=1e-5 * np.abs(one).max())
    # A take of the words holds the same rows.
    kept, answers = others[-1]
    for place, one in zip(
        ("resid_post", "final_norm"), picked(kept, answers, spelled, words=["dog", "cat"]), strict=True
    ):
        np.testing.assert_allclose(kept[f"{place}.word(dog+cat).first"]["values"][:, -1], one, atol=1e-6)


def model_of(name):
    """The manifest of a shipped model."""
    from vlmscope.config import default

    one = default().models[name]
    about = {"format": "vlmscope.model/1", "folder": str(WEIGHTS / name), "family": one.family, "dtype": one.dtype}
    return about | {"quantize": "none", "attention": "auto", "fingerprint": "", "checkpoint": "", "revision": ""}
