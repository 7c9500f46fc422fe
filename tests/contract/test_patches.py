"""Which part of a picture an image token shows: a change in one place must show up in its token most."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tiny_families
import torch
from PIL import Image

from vlmscope.capture import taps
from vlmscope.errors import VlmscopeError
from vlmscope.mm_neurons.image import patches
from vlmscope.models import base, inputs
from vlmscope.world.draw import draw

ROOT = Path(__file__).resolve().parents[2]
PATCHES = [name for name in patches.KNOWN if name not in patches.QUERIES]


@cache
def model(name):
    return tiny_families.loaded(name)


def noise(size, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8))


def encoded(loaded, pictures):
    prompts = [loaded.family.template.format(prompt="<image>\nw1 w2")] * len(pictures)
    return inputs.encode(loaded, prompts, pictures, side="right")


def embedded(loaded, pictures):
    """Layouts, and image embeddings [token, d] of each picture as they enter block 0."""
    tensors, seen = encoded(loaded, pictures), {}
    with torch.inference_mode(), taps.reading(loaded, loaded.family.site("embeds"), [0], seen.__setitem__):
        loaded.model(**tensors, use_cache=False)
    found = patches.layouts(loaded, tensors)
    return found, [value[one] for value, one in zip(seen[0], patches.places(loaded, tensors, found), strict=True)]


def test_every_family_that_writes_has_a_layout_or_an_error_that_says_so():
    for name in base.names():
        if name in patches.KNOWN:
            patches.check(name)
        else:
            with pytest.raises(VlmscopeError, match="not known which part of the picture"):
                patches.check(name)


@pytest.mark.parametrize("family", PATCHES)
def test_a_patch_of_the_shown_picture_is_seen_most_by_its_own_token(family):
    loaded = model(family)
    picture = noise((56, 56))
    shown = patches.shown(loaded, [picture])[0]
    (layout,), _ = embedded(loaded, [shown])
    rows, columns = layout.grid
    high, wide = shown.height // rows, shown.width // columns
    changed = []
    for row in range(rows):
        for column in range(columns):
            pixels = np.array(shown)
            area = pixels[row * high : (row + 1) * high, column * wide : (column + 1) * wide]
            area[:] = 255 - area
            changed.append(Image.fromarray(pixels))
    _, before = embedded(loaded, [shown])
    moved = []
    for one in changed:
        # As the model gets it, a picture that is shown already stays as it is.
        assert np.abs(np.array(patches.shown(loaded, [one])[0], int) - np.array(one, int)).max() <= 1
        _, after = embedded(loaded, [one])
        moved.append((after[0] - before[0]).norm(dim=-1))
    moved = torch.stack(moved)
    assert moved.shape == (rows * columns, rows * columns)
    # Relative to what each token does anyway: towers mix.
    found = (moved / moved.mean(0)).argmax(1)
    assert found.tolist() == list(range(rows * columns))


# ---- queries -----------------------------------------------------------------------------------------------------


def prompts(loaded, pictures, words):
    texts = [loaded.family.template.format(prompt=f"<image>\n{one}") for one in words]
    return inputs.encode(loaded, texts, pictures, side="right")


def carried(loaded, tensors):
    with torch.inference_mode(), patches.attending(loaded) as carry:
        loaded.model(**tensors, use_cache=False)
        return carry(tensors)


@pytest.mark.parametrize("family", patches.QUERIES)
def test_what_is_carried_back_does_not_depend_on_the_batch(family):
    loaded = model(family)
    pictures, words = [noise((30, 40), seed) for seed in range(3)], ["w1", "w2 w3 w4 w5", "w6 w7"]
    together = carried(loaded, prompts(loaded, pictures, words))
    for row, pair in enumerate(zip(pictures, words, strict=True)):
        alone = carried(loaded, prompts(loaded, [pair[0]], [pair[1]]))
        np.testing.assert_allclose(together[row], alone[0], atol=1e-6)
    assert (together >= 0).all() and (together.sum(2) < 1).all()
    layout = patches.layouts(loaded, prompts(loaded, pictures, words))[1]
    assert layout.grid == (2, 2)
    assert together.shape == (3, len(layout.tokens), 4)
    hooks = sum(len(module._forward_hooks) for module in loaded.model.modules())
    with patches.attending(loaded):
        assert sum(len(module._forward_hooks) for module in loaded.model.modules()) > hooks
    assert sum(len(module._forward_hooks) for module in loaded.model.modules()) == hooks


def test_the_end_token_of_mplug_owl2_shows_nothing():
    loaded = model("mplug_owl2")
    found = carried(loaded, encoded(loaded, [noise((20, 20))]))[0]
    assert not found[-1].any()
    assert (found[:-1].sum(1) > 0).all()


def test_probabilities_are_those_of_the_model_itself():
    loaded = model("instructblip")
    tensors, seen = prompts(loaded, [noise((20, 20)), noise((9, 9))], ["w1 w2 w3", "w4"]), {}
    before = loaded.model.config.qformer_config._attn_implementation
    loaded.model.set_attn_implementation({"qformer_config": "eager"})
    names, handles = patches._qformer_names(loaded), []
    for name in names:
        for part in (".query", ".key", ""):
            module = taps.module_at(loaded.model, name + part)
            hook = lambda module, args, output, key=name + part: seen.__setitem__(key, output)  # noqa: E731
            handles.append(module.register_forward_hook(hook))
    with torch.inference_mode():
        loaded.model(**tensors, use_cache=False)
    for handle in handles:
        handle.remove()
    loaded.model.set_attn_implementation({"qformer_config": before})
    real = tensors["qformer_attention_mask"].bool()
    real = torch.cat([real.new_ones(2, loaded.config.num_query_tokens), real], 1)
    for name in names:
        mask = None if ".crossattention." in name else real
        found = patches.probabilities(seen[name + ".query"], seen[name + ".key"], 2, mask)
        torch.testing.assert_close(found, seen[name][1].mean(1), atol=1e-6, rtol=0)


def trained(name, family, folder):
    """A model of weights/, which knows what it sees."""
    from vlmscope.models.load import describe, load
    from vlmscope.store import files

    settings = {"family": family, "checkpoint": name, "revision": "", "dtype": "float32"}
    files.write_json(describe(ROOT / "weights" / name, settings), folder / "model.json")
    return load(folder / "model.json")


def influence(loaded, tensors):
    """How far each query moves when a patch is replaced by the batch's mean of it, float [sample, query, patch]."""
    seen, swapped = {}, {}
    path = "model.vision_model" if loaded.family.name == "mplug_owl2" else "vision_model"
    tower = loaded.model.get_submodule(path)

    def swap(module, args, output):
        value = output if torch.is_tensor(output) else output.last_hidden_state
        if swapped:
            place, means = swapped["place"], value.mean(0)
            value = value.clone()
            value[:, place] = means[place]
            return value if torch.is_tensor(output) else type(output)(last_hidden_state=value)
        return None

    handle = tower.register_forward_hook(swap)
    with torch.inference_mode(), taps.reading(loaded, loaded.family.site("image_embeds"), [0], seen.__setitem__):
        loaded.model(**tensors, use_cache=False, logits_to_keep=1)
        before, moved = seen[0], []
        for patch in range(64):
            swapped["place"] = patch + 1
            loaded.model(**tensors, use_cache=False, logits_to_keep=1)
            moved.append((seen[0] - before).norm(dim=-1))
    handle.remove()
    return torch.stack(moved, 2).numpy()


@pytest.mark.parametrize(("name", "family"), [("blip", "instructblip"), ("mplug-owl2", "mplug_owl2")])
def test_in_trained_models_attention_tells_which_patches_move_a_query(name, family, tmp_path):
    loaded = trained(name, family, tmp_path)
    pictures = [Image.fromarray(draw("com", 4000 + seed).image) for seed in range(6)]
    tensors = inputs.encode(loaded, [loaded.family.chat("<image>\ndescribe the image.")] * 6, pictures, side="right")
    found, moved = carried(loaded, tensors), influence(loaded, tensors)
    pairs = [
        (one[query], other[query])
        for one, other in zip(found, moved, strict=True)
        for query in range(len(one))
        if one[query].any()
    ]
    assert np.mean([np.corrcoef(*pair)[0, 1] for pair in pairs]) > 0.5
    # The highest patches coincide far more often than one in sixty-four times.
    assert np.mean([one.argmax() == other.argmax() for one, other in pairs]) > 0.25
