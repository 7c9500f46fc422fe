"""Training the embedded model: packing is exact, losses fall, one recipe is one model."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from vlmscope.models.tiny import language, packing, pixels, tokenizer, tower
from vlmscope.models.tiny import train as training
from vlmscope.models.tiny.recipe import Language, Recipe, Tower

LANGUAGE = replace(Language(), pace=replace(Language().pace, steps=40, batch=8), width=48, hidden=64, joined_batch=4)
TOWER = replace(Tower(), pace=replace(Tower().pace, steps=20, batch=16), width=48, hidden=64, layers=2)


@pytest.fixture(scope="module")
def words():
    return tokenizer.llava()


@pytest.fixture(scope="module")
def scenes():
    return training.world(100)


@pytest.fixture(scope="module")
def model(words):
    torch.manual_seed(0)
    return language.build(LANGUAGE, tower.build(TOWER, words), words).eval()


def test_pixels_equal_those_of_the_processor(model, words, scenes, tmp_path) -> None:
    training.save(model, words, tmp_path, "none")
    _, processor = training.load(tmp_path)
    single = processor(images=Image.fromarray(scenes[0].image), text="<image>", return_tensors="pt")
    assert torch.equal(single["pixel_values"][0, 1], pixels.normalized([scenes[0].image])[0])
    assert (single["input_ids"] == words.image_token_id).sum() == len(language.order(1)) == 136
    joined = pixels.joined(scenes[0])
    several = processor(images=Image.fromarray(joined), text="<image>", return_tensors="pt")
    assert torch.allclose(several["pixel_values"][0], pixels.normalized(pixels.tiles(joined)), atol=1e-6)
    assert (several["input_ids"] == words.image_token_id).sum() == len(language.order(5)) == 392


@pytest.mark.parametrize("frames", [1, 5])
@torch.no_grad()
def test_a_packed_row_gives_each_question_the_numbers_of_its_plain_prompt(
    model, words, scenes, frames, tmp_path
) -> None:
    training.save(model, words, tmp_path, "none")
    plain, processor = training.load(tmp_path)
    scene = scenes[0]
    album = language.album(plain, [scene], frames)
    told = language.all_questions(scene, letters=False)
    batch = packing.pack([packing.row(told, len(album.order), language.encoder(words))], words.pad_token_id)
    features = _float_features(plain, scene, frames)
    ours = plain.lm_head(language.states(plain, batch, features, album.order))[0]
    shown = Image.fromarray(pixels.joined(scene) if frames > 1 else scene.image)
    for number, (prompt, answer) in enumerate(told, 2):
        inputs = processor(images=shown, text=f"{prompt.text()} {answer}</s>", return_tensors="pt")
        theirs = plain(**inputs).logits[0]
        here = ours[batch.segments[0] == number]
        assert (here - theirs[-len(here) :]).abs().max() <= 1e-5


def _float_features(model, scene, frames: int) -> torch.Tensor:
    shown = pixels.tiles(pixels.joined(scene)) if frames > 1 else [scene.image]
    states = model.model.vision_tower(pixels.normalized(shown), output_hidden_states=True).hidden_states[-2]
    return states[:, 1:].reshape(1, -1, states.shape[-1])


def _albums(model, scenes) -> tuple[language.Album, language.Album]:
    driving = [scene for scene in scenes if scene.domain == "ad"]
    return language.album(model, scenes), language.album(model, driving, pixels.FRAMES)


def test_the_answers_loss_falls_and_the_tower_stays_as_it_is(model, words, scenes) -> None:
    before = {name: weight.clone() for name, weight in model.model.vision_tower.state_dict().items()}
    losses = language.train(LANGUAGE, model, words, _albums(model, scenes), 0, lambda _: None)
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    assert all(torch.equal(weight, before[name]) for name, weight in model.model.vision_tower.state_dict().items())


def test_the_towers_loss_falls(words, scenes) -> None:
    told: list[str] = []
    pace = replace(TOWER.pace, steps=100)
    tower.train(replace(TOWER, pace=pace), scenes, tokenizer.clip(), 0, told.append)
    assert float(told[-1].split("loss ")[1].split(",")[0]) < 3.5


def test_two_runs_give_the_same_weights_to_the_bit(words, scenes) -> None:
    runs = []
    quick = replace(LANGUAGE, pace=replace(LANGUAGE.pace, steps=3))
    short = replace(TOWER, pace=replace(TOWER.pace, steps=3))
    with training.single_thread():
        for _ in range(2):
            clip, _ = tower.train(short, scenes, tokenizer.clip(), 1, lambda _: None)
            torch.manual_seed(1)
            model = language.build(quick, clip, words)
            language.train(quick, model, words, _albums(model, scenes), 1, lambda _: None)
            runs.append(model.state_dict())
    assert all(torch.equal(weight, runs[1][name]) for name, weight in runs[0].items())


def test_the_digest_follows_every_number_of_the_recipe() -> None:
    assert Recipe().digest() == Recipe().digest()
    changed = [
        replace(Recipe(), seed=1),
        replace(Recipe(), tower=replace(Tower(), contrast=0.6)),
        replace(Recipe(), language=replace(Language(), pace=replace(Language().pace, steps=701))),
    ]
    assert len({Recipe().digest(), *(one.digest() for one in changed)}) == 4
