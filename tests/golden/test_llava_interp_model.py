"""A tiny LLaVA under ablation, gradients and blocked attention, as the released code has it (llava_interp.md 11)."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vlmscope.blocking import Block, blocked
from vlmscope.capture import attention
from vlmscope.datasets import coco_objects
from vlmscope.llava_interp.ablation import gradient
from vlmscope.llava_interp.asking import answers, mean, prompts, selection
from vlmscope.llava_interp.asking.selection import Filter
from vlmscope.llava_interp.knockout import passes, windows
from vlmscope.models.base import family
from vlmscope.models.load import Loaded, slim_imports
from vlmscope.samples import picture

HERE = Path(__file__).parent / "llava_interp"
UNITS = json.loads((HERE / "units.json").read_text())
KNOCKOUT = json.loads((HERE / "knockout_official.json").read_text())
KIND = family("llava")
ASKING = {"prompt": "<image>\n{question}", "prompts": {}}


@pytest.fixture(scope="module")
def arrays():
    with np.load(HERE / "units.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def loaded():
    slim_imports()
    from transformers import LlavaForConditionalGeneration

    folder = HERE / "tiny_llava"
    model = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval().requires_grad_(False)
    return Loaded(model, KIND.processor(folder, model.config), KIND, {"fingerprint": "golden"})


def opened(number):
    return Image.open(HERE / "coco" / "val2017" / f"{number:012d}.png").convert("RGB")


def asked_of(loaded, number, prompt):
    return prompts.prepare(loaded, [prompt], [opened(number)], 1)[0]


def near(found, expected, atol):
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-4, atol=atol)


# ---- visual tokens and their mean --------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [139, 172, 304])
def test_visual_tokens_are_the_released_ones(loaded, arrays, number):
    asked = asked_of(loaded, number, "<image>")
    assert asked.visual == 576
    near(asked.embeds[asked.first : asked.end], arrays[f"visual_tokens_{number}"], 1e-5)
    near(mean.visual_tokens(loaded, [opened(number)])[0], arrays[f"visual_tokens_{number}"], 1e-5)


@pytest.mark.parametrize(("parts", "turned"), [(1, False), (3, False), (7, False), (2, True)])
def test_a_streamed_mean_is_the_released_one(parts, turned):
    with np.load(HERE / "post_adapter.npz") as file:
        states = [torch.from_numpy(file[name]) for name in sorted(file) if name.startswith("ILSVRC")]
        expected = file["mean_vector"]
    running = mean.Running.of(16)
    for start in range(parts)[:: -1 if turned else 1]:
        running.add(torch.cat(states[start::parts]))
    near(running.mean(), expected, 1e-6)
    whole = torch.cat(states).double()
    near(running.deviation(), whole.std(0, correction=0), 1e-9)
    assert running.count == running.lengths.sum() == len(whole)


# ---- ablation ----------------------------------------------------------------------------------------------------


def test_ablated_logits_are_the_released_ones(loaded, arrays):
    told, value = UNITS["ablate"], torch.from_numpy(arrays["mean_vector"])
    asked = asked_of(loaded, told["image"], told["prompt"])
    places = [one - asked.first for one in told["indices"]]
    found = prompts.next_logits(loaded, [(asked, places), (asked, [])], value, 2)
    near(found[0], arrays["ablate_last_logits"], 2e-4)
    near(found[1], arrays["ablate_empty_last_logits"], 2e-4)
    near(found[1], arrays["block_baseline_last_logits"], 2e-4)


def test_replaced_rows_are_the_mean_and_no_others_change(loaded, arrays):
    value, asked = torch.from_numpy(arrays["mean_vector"]), asked_of(loaded, 139, "USER: <image>\nDescribe")
    changed = prompts.without(asked, [0, 7, 575], value)
    places = [asked.first, asked.first + 7, asked.first + 575]
    assert (changed[places] == value).all()
    others = [one for one in range(len(changed)) if one not in places]
    assert torch.equal(changed[others], asked.embeds[others])
    assert (prompts.without(asked, [3], None)[asked.first + 3] == 0).all()
    assert torch.equal(prompts.without(asked, [], value), asked.embeds)


def test_without_any_visual_token_the_picture_plays_no_role(loaded, arrays):
    value = torch.from_numpy(arrays["mean_vector"])
    rows = [(asked_of(loaded, number, UNITS["ablate"]["prompt"]), range(576)) for number in (139, 304)]
    first, second = prompts.next_logits(loaded, rows, value, 2)
    near(first, second, 1e-5)


# ---- integrated gradients ----------------------------------------------------------------------------------------


def test_gradients_are_the_released_ones(loaded, arrays):
    told, value = UNITS["ig"], torch.from_numpy(arrays["mean_vector"])
    asked = asked_of(loaded, told["image"], told["prompt"])
    yes = prompts.word(loaded.processor.tokenizer, "Yes")
    plain = prompts.next_logits(loaded, [(asked, [])], None, 1)[0]
    token = gradient.target(loaded, yes, "Yes", plain, "official")
    assert (token, yes.token) == (told["target_id_official"], told["yes_id"])
    options = {"steps": told["steps"], "mode": "official"}
    found = gradient.attributions(loaded, asked, value, token, chunk=10, **options)
    near(found, arrays["ig_official"], 1e-6)
    order = np.argsort(-gradient.importance(found), kind="stable")
    assert order[:40].tolist() == told["order_first_40"]
    other = gradient.attributions(loaded, asked, value, token, chunk=7, **options)
    np.testing.assert_allclose(found, other, atol=1e-5)


def test_fixed_gradients_stay_within_the_picture(loaded, arrays):
    told, value = UNITS["ig"], torch.from_numpy(arrays["mean_vector"])
    asked = asked_of(loaded, told["image"], told["prompt"])
    found = gradient.attributions(loaded, asked, value, told["yes_id"], steps=4, mode="fixed", chunk=4)
    assert found.any() and not found[: asked.first].any() and not found[asked.end :].any()


# ---- attention ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sdpa", "eager"])
@pytest.mark.parametrize("name", list(UNITS["block"]["sets"]))
def test_blocked_logits_are_the_released_ones(loaded, arrays, name, kind):
    told = UNITS["block"]
    asked = asked_of(loaded, told["image"], told["prompt"])
    start, last = asked.first, len(asked.ids) - 1
    sets = {
        "last_from_0_60": ([last], range(start, start + 60)),
        "row_from_all": (range(asked.end - 24, asked.end), range(start, asked.end - 24)),
        "self_block": ([last], [last]),
        "noncausal_pair": ([start], [start + 5]),
    }
    first, final, _ = told["sets"][name]
    assert [first, final] == [[sets[name][0][0], sets[name][1][0]], [sets[name][0][-1], sets[name][1][-1]]]
    block = Block(*sets[name], told["layers"])
    mask = torch.ones(1, len(asked.ids), dtype=torch.long)
    mode = attention.eager(loaded) if kind == "eager" else torch.inference_mode()
    with mode, torch.inference_mode(), blocked(loaded, [[block]], mask):
        found = loaded.model(inputs_embeds=asked.embeds[None], use_cache=False, logits_to_keep=1).logits[0, -1]
    near(found, arrays[f"block_{name}"], 2e-4)
    if name == "last_from_0_60":
        # Without fused kernels the released code blocks nothing [differs: llava_interp.md 8 #11].
        near(arrays[f"block_eager_{name}"], arrays["block_eager_baseline"], 1e-6)
        assert np.abs(found.numpy() - arrays[f"block_eager_{name}"]).max() > 1e-2


@pytest.fixture(scope="module")
def objects(loaded):
    """Targets of the released run with a question, by picture number."""
    samples = coco_objects.read(HERE / "coco", "val", name="golden")
    found, _ = selection.targets(samples, Filter(3, 1000, 2000), prompts.view(loaded), "official")
    return {one.image_id: one for one in found if one.sample.question}


def of_image(loaded, objects, number):
    target = objects[number]
    text = prompts.text(loaded, ASKING, target.sample.question, "It is a")
    asked = prompts.prepare(loaded, [text], [picture(target.sample, HERE / "coco")], 1)[0]
    return target, asked, prompts.word(loaded.processor.tokenizer, target.name)


@pytest.mark.parametrize("number", [int(one) for one in KNOCKOUT["sdpa"]])
def test_interventions_end_as_released(loaded, objects, number):
    target, asked, wanted = of_image(loaded, objects, number)
    expected = KNOCKOUT["sdpa"][str(number)]
    told = prompts.told(loaded, prompts.next_logits(loaded, [(asked, [])], None, 1)[0], wanted)
    same(told, expected["baseline"])
    assert (
        answers.names(told["text"], told["first"], told["token"], (), "official") == expected["baseline"]["is_correct"]
    )
    if "attn_block_results" not in expected:
        assert not expected["baseline"]["is_correct"]
        return
    sources, targets = passes.keys(target.patches, asked, 24, 0, number), passes.queries(asked, 24)
    asked_for = [windows.Intervention(*group, window) for group in windows.RELEASED for window in windows.windows(32)]
    found = dict(passes.outcomes(loaded, asked, asked_for, sources, targets, 24))
    released = {}
    for one, logits in found.items():
        name = f"{windows.RELEASED[one.source, one.target]}_{one.window.name.upper()}_LAYERS"
        released[name] = prompts.told(loaded, logits, wanted)
    assert set(released) == set(expected["attn_block_results"])
    for name, row in expected["attn_block_results"].items():
        same(released[name], row)
        judged = answers.names(released[name]["text"], released[name]["first"], 0, (), "official")
        assert judged == row["is_correct"]


def same(told, row):
    assert (told["text"], told["first"]) == (row["generated_token"], row["correct_token"])
    assert told["prob"] == pytest.approx(row["generated_token_prob"], abs=1e-4)
    assert told["first_prob"] == pytest.approx(row["correct_token_prob"], abs=1e-4)
