"""Tiny LLaVA with Llama and with Phi-3 against passes of the model itself, changed by hooks (llava_interp.md 11).

What the released code wrote of descriptions, questions and the Phi-3 model is not at hand; these passes take its place.
"""

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vlmscope.blocking import Block, blocked
from vlmscope.config import default, plain
from vlmscope.datasets import coco_objects
from vlmscope.llava_interp.ablation import run as ablation_run
from vlmscope.llava_interp.asking import experiments, geometry, prompts, selection
from vlmscope.llava_interp.asking.experiments import Bench
from vlmscope.llava_interp.asking.selection import Filter
from vlmscope.llava_interp.knockout import passes, windows
from vlmscope.llava_interp.knockout.windows import Intervention
from vlmscope.models.base import family
from vlmscope.models.load import Loaded, slim_imports
from vlmscope.samples import picture

HERE = Path(__file__).parent / "llava_interp"
UNITS = json.loads((HERE / "units.json").read_text())
ASKING = {
    "prompt": "<image>\n{question}",
    "prompts": {},
    "begin": "It is a",
    "poll": "Is there a {class}?",
    "affirmed": "Yes",
}
TEXT = UNITS["ablate"]["prompt"]


@pytest.fixture(scope="module", params=["tiny_llava", "tiny_llava_phi"])
def loaded(request):
    slim_imports()
    from transformers import LlavaForConditionalGeneration

    folder = HERE / request.param
    model = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval().requires_grad_(False)
    kind = family("llava" if request.param == "tiny_llava" else "llava_phi")
    # Both have the same tokenizer; it and the pictures' recipe lie beside the first.
    return Loaded(model, kind.processor(HERE / "tiny_llava", model.config), kind, {"fingerprint": request.param})


@pytest.fixture(scope="module")
def value():
    with np.load(HERE / "units.npz") as file:
        return torch.from_numpy(file["mean_vector"])


def opened(number):
    return Image.open(HERE / "coco" / "val2017" / f"{number:012d}.png").convert("RGB")


@contextlib.contextmanager
def replaced(loaded, places, value):
    """Positions of what enters the decoder are overwritten by a plain hook."""

    def before(module, args, kwargs):
        embeds = kwargs["inputs_embeds"].clone()
        embeds[:, places] = value
        return args, kwargs | {"inputs_embeds": embeds}

    handle = loaded.model.model.language_model.register_forward_pre_hook(before, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@torch.inference_mode()
def passed(loaded, text, image):
    """Logits behind a prompt, by the model's own way from ids and pixels."""
    tensors = loaded.processor(text=[text], images=[image], return_tensors="pt")
    return loaded.model(**tensors, use_cache=False).logits[0, -1]


def near(found, expected):
    torch.testing.assert_close(found.float(), expected.float(), atol=2e-4, rtol=1e-4)


def test_the_processor_s_recipe_tells_nothing_of_further_tokens(loaded):
    told = json.loads((HERE / "tiny_llava" / "processor_config.json").read_text())
    assert "num_additional_image_tokens" not in told
    asked = prompts.prepare(loaded, [TEXT], [opened(304)], 1)[0]
    assert (asked.visual, asked.first, len(asked.ids)) == (576, UNITS["block"]["img_start"], UNITS["block"]["seq"])


def test_a_span_holds_the_projected_tokens_and_nothing_else(loaded):
    asked = prompts.prepare(loaded, [TEXT], [opened(304)], 1)[0]
    pixels = loaded.processor.image_processor(images=[opened(304)], return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        tower = loaded.model.model.vision_tower(pixels, output_hidden_states=True).hidden_states[-2][:, 1:]
        visual = loaded.model.model.multi_modal_projector(tower)[0]
        text = loaded.model.get_input_embeddings()(asked.ids)
    near(asked.embeds[asked.first : asked.end], visual)
    outside = [*range(asked.first), *range(asked.end, len(asked.ids))]
    assert torch.equal(asked.embeds[outside], text[outside])


def test_answers_without_tokens_are_those_of_a_hook(loaded, value):
    asked = prompts.prepare(loaded, [TEXT], [opened(304)], 1)[0]
    sets = [[], [3, 4, 100, 575], list(range(576)), [3, 4, 100, 575]]
    found = prompts.next_logits(loaded, [(asked, one) for one in sets], value, 4)
    for tokens, logits in zip(sets, found, strict=True):
        with replaced(loaded, [asked.first + one for one in tokens], value):
            near(logits, passed(loaded, TEXT, opened(304)))
    near(found[1], found[3])
    once = prompts.without(asked, sets[1], value)
    assert torch.equal(once, prompts.without(prompts.Asked(asked.ids, once, asked.first, 576, {}), sets[1], value))


def test_the_pictures_questions_are_answered_as_by_a_hook(loaded, value):
    samples = coco_objects.read(HERE / "coco", "val", name="golden")
    targets, _ = selection.targets(samples, Filter(3, 1000, 2000), prompts.view(loaded), "official")
    asked = [one for one in targets if one.sample.question][:3]
    told = plain(default())["llava_interp"] | {"asking": ASKING, "objects": {"geometry": "official"}}
    told["ablation"] |= {"sizes": [5, 40], "gradient": {"mode": "fixed", "steps": 4, "sizes": []}}
    own = Bench(loaded, lambda one: picture(one, HERE / "coco"), value, value, told, 8)
    checked = 0
    for one in asked:
        text = own.ask(one.sample.question, ASKING["begin"])
        prompt, word, _ = experiments.question(own, one)
        for condition in ablation_run._sets(own, one, prompt, word):
            if condition.family not in ("object", "random", "register", "whole"):
                continue
            logits = prompts.next_logits(loaded, [(prompt, condition.tokens)], value, 1)[0]
            found = prompts.told(loaded, logits, word)
            with replaced(loaded, [prompt.first + token for token in condition.tokens], value):
                expected = passed(loaded, text, picture(one.sample, HERE / "coco")).float()
            shares = expected.softmax(-1)
            assert found["token"] == int(expected.argmax())
            assert found["prob"] == pytest.approx(float(shares.max()), abs=1e-4)
            assert found["first_prob"] == pytest.approx(float(shares[word.token]), abs=1e-4)
            checked += 1
    assert checked == 3 * 7


def test_blocked_windows_are_those_of_masks_written_out(loaded):
    asked = prompts.prepare(loaded, [TEXT], [opened(304)], 1)[0]
    depth = loaded.family.site("resid_post").layers(loaded.config)
    sources = {"object": [asked.first + one for one in range(60)]}
    window = windows.Window("some", "window", 1, min(3, depth - 1))
    one = Intervention("object", "last", window)
    found = dict(passes.outcomes(loaded, asked, [one], sources, {"last": [len(asked.ids) - 1]}, 4))[one]
    near(found, masked(loaded, asked, sources["object"], window.layers))


@torch.inference_mode()
def masked(loaded, asked, keys, layers):
    """The last query cannot see some keys: a mask of truth values, made here and handed to these layers."""
    size = len(asked.ids)
    allowed = torch.ones(size, size, dtype=torch.bool).tril()
    allowed[-1, keys] = False
    handles = []
    for layer in layers:
        module = loaded.model.model.language_model.layers[layer].self_attn
        hook = lambda module, args, kwargs: (args, kwargs | {"attention_mask": allowed[None, None]})  # noqa: E731
        handles.append(module.register_forward_pre_hook(hook, with_kwargs=True))
    logits = loaded.model(inputs_embeds=asked.embeds[None], use_cache=False).logits[0, -1]
    for handle in handles:
        handle.remove()
    return logits


def test_what_is_blocked_under_padding_stays_blocked(loaded):
    longer = TEXT.replace("bench", "bench on the bench")
    asked = prompts.prepare(loaded, [TEXT, longer], [opened(304)] * 2, 2)
    tensors = prompts.padded(loaded, [(one, ()) for one in asked], None)
    rows = [[Block([len(one.ids) - 1], range(one.first, one.first + 60), [1, 2])] for one in asked]
    with torch.inference_mode(), blocked(loaded, rows, tensors["attention_mask"]):
        found = prompts.behind(loaded, tensors)
    for one, logits in zip(asked, found, strict=True):
        near(logits, masked(loaded, one, list(range(one.first, one.first + 60)), [1, 2]))


def test_a_question_in_any_script_is_asked(loaded, value):
    text = "USER: <image>\nQu'est-ce que c'est\u202f? \u4ec0\u4e48 \u2603 ASSISTANT:"
    asked = prompts.prepare(loaded, [text], [opened(304)], 1)[0]
    assert asked.visual == 576
    near(prompts.next_logits(loaded, [(asked, ())], value, 1)[0], passed(loaded, text, opened(304)))


@pytest.mark.parametrize(("mode", "size"), [("CMYK", (40, 30)), ("RGB", (20, 11)), ("L", (9, 300))])
def test_small_and_odd_pictures_are_seen(loaded, mode, size):
    one = Image.new(mode, size, 120).convert("RGB") if mode == "L" else Image.new(mode, size).convert("RGB")
    asked = prompts.prepare(loaded, [TEXT], [one], 1)[0]
    assert asked.visual == 576 and torch.isfinite(asked.embeds).all()
    annotation = {"segmentation": [[0, 0, size[0], 0, size[0], size[1], 0, size[1]]], "bbox": [0, 0, *size]}
    assert geometry.patches(annotation, size, prompts.view(loaded), "aligned") == list(range(576))
