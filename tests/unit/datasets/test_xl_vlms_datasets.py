"""Benchmarks of XL-VLMs: captions, all questions, phrases, POPE, MM-SafetyBench; options of their readers."""

import json
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from vlmscope.datasets import karpathy, mm_safetybench, pope, visual_genome, vqav2_questions
from vlmscope.errors import VlmscopeError
from vlmscope.world.draw import draw

GOLDEN = Path(__file__).parents[2] / "golden" / "xl_vlms"
SCENES = [draw("com", seed) for seed in range(20)]
OTHERS = [draw("com", seed) for seed in range(100, 105)]


def answers(rows):
    return [json.loads(one.answer) for one in rows]


# ---- captions ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def captions(tmp_path_factory):
    root = tmp_path_factory.mktemp("coco")
    karpathy.write(OTHERS, root, "test")
    karpathy.write(SCENES, root, "train")
    return root


def test_five_sentences_of_which_the_first_is_the_scenes_own(captions):
    found = answers(karpathy.read(captions, "train", name="coco"))
    assert [one["captions"][0] for one in found] == [scene.caption for scene in SCENES]
    assert all(len(one["captions"]) == 5 for one in found)
    for scene, one in zip(SCENES, found, strict=True):
        for thing in scene.things:
            assert all(thing.name in text for text in one["captions"])


def test_the_list_is_karpathys(captions):
    content = json.loads((captions / karpathy.FILE).read_text())
    assert content["dataset"] == "coco"
    rows = content["images"]
    assert [one["imgid"] for one in rows] == list(range(25)) and rows[0]["split"] == "train"
    assert [number for one in rows for number in one["sentids"]] == list(range(125))
    for one in rows:
        assert set(one) == {"filename", "filepath", "split", "cocoid", "imgid", "sentids", "sentences"}
        assert [told["sentid"] for told in one["sentences"]] == one["sentids"]
        assert (captions / one["filepath"] / one["filename"]).is_file()


def test_several_splits_at_once(captions):
    both = list(karpathy.read(captions, "train+test", name="coco"))
    assert len(both) == 25 and both[-1].images[0].startswith("val2014/COCO_val2014_")
    assert both[0].sample == "coco-train+test-0"
    with pytest.raises(VlmscopeError, match="no split 'dev'"):
        next(karpathy.read(captions, "train+dev", name="coco"))


def test_words_are_looked_for_after_the_subset(captions):
    every = list(karpathy.read(captions, "train", name="coco"))
    order = np.random.default_rng(seed=3).choice(20, size=12, replace=False)
    some = list(karpathy.read(captions, "train", name="coco", subset=12, seed=3))
    assert [one.index for one in some] == order.tolist()
    dogs = [one.index for one in karpathy.read(captions, "train", name="coco", subset=12, seed=3, has="dog, cat")]
    assert dogs == [k for k in order if {"dog", "cat"} & set(json.loads(every[k].answer)["captions"][0].split())]
    assert 0 < len(dogs) < 12


def test_the_released_search_finds_parts_of_words(captions):
    whole = list(karpathy.read(captions, "train", name="coco", has="bir"))
    part = list(karpathy.read(captions, "train", name="coco", has="bir", match="substring"))
    assert not whole and part
    first = list(karpathy.read(captions, "train", name="coco", has="with"))
    assert not first and list(karpathy.read(captions, "train", name="coco", has="with", any_caption=True))


def test_pictures_are_chosen_by_a_pickled_list(captions, tmp_path):
    wanted = [f"train2014/COCO_train2014_{seed:012d}.jpg" for seed in (3, 7)] + [
        "val2014/COCO_val2014_000000000100.jpg"
    ]
    (tmp_path / "place.pkl").write_bytes(pickle.dumps(wanted))
    found = list(karpathy.read(captions, "train+test", name="coco", ids=str(tmp_path / "place.pkl")))
    assert sorted(one.images[0] for one in found) == sorted(wanted)


def test_a_picture_without_sentences_or_folder_is_named(tmp_path):
    karpathy.write(SCENES[:1], tmp_path, "train")
    content = json.loads((tmp_path / karpathy.FILE).read_text())
    for change, problem in (({"sentences": []}, "no sentences"), ({"filename": "x.jpg"}, "neither")):
        (tmp_path / karpathy.FILE).write_text(json.dumps({"images": [content["images"][0] | change]}))
        with pytest.raises(VlmscopeError, match=problem):
            next(karpathy.read(tmp_path, "train", name="coco"))


# ---- questions ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    root = tmp_path_factory.mktemp("vqa")
    vqav2_questions.write(SCENES, root, "train")
    return root


def test_every_question_with_ten_answers_that_do_not_all_agree(asked):
    found = list(vqav2_questions.read(asked, "train", name="vqa"))
    assert len(found) == sum(len(scene.questions) for scene in SCENES)
    told = answers(found)
    assert all(len(one["answers"]) == 10 for one in told)
    most = [Counter(one["answers"]).most_common(1)[0] for one in told]
    assert all(word == one["choice"] and count >= 7 for (word, count), one in zip(most, told, strict=True))
    agreed = np.mean([count == 10 for _, count in most])
    assert 0.3 < agreed < 0.7
    assert {one["answer_type"] for one in told} == {"yes/no", "number", "other"}


def test_answers_and_types_choose_questions(asked):
    told = answers(vqav2_questions.read(asked, "train", name="vqa"))
    no = answers(vqav2_questions.read(asked, "train", name="vqa", has="no"))
    assert no == [one for one in told if one["choice"] == "no"]
    part = answers(vqav2_questions.read(asked, "train", name="vqa", has="o", match="substring"))
    assert part == [one for one in told if "o" in one["choice"]]
    number = answers(vqav2_questions.read(asked, "train", name="vqa", answer_type="number", limit=3))
    assert number == [one for one in told if one["answer_type"] == "number"][:3]


def test_the_subset_keeps_its_order(asked):
    order = np.random.default_rng(seed=0).choice(len(list(vqav2_questions.read(asked, "train", name="vqa"))), 9, False)
    some = list(vqav2_questions.read(asked, "train", name="vqa", subset=9))
    assert [one.index for one in some] == order.tolist()


def test_the_prompt_is_the_released_one(asked):
    one = next(vqav2_questions.read(asked, "train", name="vqa"))
    said = f"<image>\n{one.question}\nAnswer the question using a single word or phrase."
    assert vqav2_questions.prompt(one, "full") == said
    asked_so = next(vqav2_questions.read(asked, "train", name="vqa", ask="Question: "))
    assert asked_so.question == f"Question: {one.question}"


# ---- phrases -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    root = tmp_path_factory.mktemp("vg")
    visual_genome.write(OTHERS, root, "val")
    visual_genome.write(SCENES, root, "train")
    return root


def test_keywords_choose_phrases(genome):
    every = [one["captions"][0] for one in answers(visual_genome.read(genome, "train", name="vg"))]
    red = answers(visual_genome.read(genome, "train", name="vg", keywords="red, blue"))
    assert [one["captions"][0] for one in red] == [text for text in every if {"red", "blue"} & set(text.split())]
    places = answers(visual_genome.read(genome, "train", name="vg", keywords="park,room,beach"))
    assert len(places) == len(SCENES)
    colours = {"red", "blue", "yellow", "white", "black", "purple"}
    assert not any(colours & set(one["captions"][0].split()) for one in places)


def test_a_region_is_where_its_thing_is(genome):
    scenes = {scene.seed: scene for scene in SCENES}
    for one in answers(visual_genome.read(genome, "train", name="vg", keywords="left,middle,right")):
        left, top, width, height = one["box"]
        mask = scenes[one["image_id"]].mask
        phrase = one["captions"][0]
        numbers = [k for text, k in visual_genome.phrases(scenes[one["image_id"]]) if text == phrase]
        assert (mask[top : top + height, left : left + width] == numbers[0]).sum() == (mask == numbers[0]).sum()


def test_splits_of_drawn_and_of_published_pictures(genome):
    assert {one["image_id"] for one in answers(visual_genome.read(genome, "val", name="vg"))} == set(range(100, 105))
    rows = json.loads((genome / visual_genome.PICTURES).read_text())
    assert [one["split"] for one in rows] == ["train"] * 20 + ["val"] * 5


def test_every_tenth_published_picture_is_for_evaluation(tmp_path):
    visual_genome.write(SCENES, tmp_path, "train")
    rows = json.loads((tmp_path / visual_genome.PICTURES).read_text())
    for one in rows:
        del one["split"]
    (tmp_path / visual_genome.PICTURES).write_text(json.dumps(rows))
    assert {one["image_id"] for one in answers(visual_genome.read(tmp_path, "val", name="vg"))} == {9, 19}


def test_few_phrases_of_every_picture(genome):
    found = answers(visual_genome.read(genome, "train", name="vg", per_picture=1))
    assert len(found) == len({one["image_id"] for one in found}) == len(SCENES)


# ---- POPE --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    root = tmp_path_factory.mktemp("pope")
    pope.write(SCENES, root, "adversarial")
    return root


def test_a_subset_is_every_yes_and_its_own_no(objects):
    content = json.loads((objects / "test" / pope.FILE).read_text())
    yes = [one for one in content if one["response"] == "yes"]
    for split in pope.SUBSETS:
        found = answers(pope.read(objects, split, name="pope"))
        own = [one for one in content if one["response"] == "no" and one["subset"] == split]
        assert len(found) == len(yes) + len(own) and len(own) == len(yes)
        assert {one["subset"] for one in found if one["answer"] == "no"} == {split}
    assert all(one["instruction"].endswith("? Answer with just one word.") for one in content)
    assert all(one.question.endswith("?") for one in pope.read(objects, "random", name="pope"))


def test_what_is_not_there_is_frequent_or_goes_with_what_is(objects):
    rows = pope.questions(SCENES)
    seen = {
        scene.seed: {thing.name for k, thing in enumerate(scene.things, 1) if (scene.mask == k).any()}
        for scene in SCENES
    }
    often = Counter(name for names in seen.values() for name in names)

    def mean(subset, score):
        found = []
        for one in rows:
            if one["subset"] == subset and one["response"] == "no":
                own = seen[int(one["filename"][-16:-4])]
                name = one["instruction"].split()[3].rstrip("?")
                assert name not in own
                found.append(score(name, own))
        return np.mean(found)

    def together(name, own):
        return sum(len(names & {other, name}) == 2 for names in seen.values() for other in own)

    assert mean("popular", lambda name, own: often[name]) > mean("random", lambda name, own: often[name])
    assert mean("adversarial", together) > max(mean("random", together), mean("popular", together))


def test_training_questions_lie_apart(objects):
    pope.write(OTHERS, objects, "train")
    train = list(pope.read(objects, "train", name="pope"))
    assert {one["subset"] for one in answers(train)} == set(pope.SUBSETS)
    assert all(one.images[0].startswith("train/images/") for one in train)


def test_published_files_are_read_too(objects, tmp_path):
    content = json.loads((objects / "test" / pope.FILE).read_text())
    (tmp_path / "val2014").mkdir()
    lines = []
    for number, one in enumerate(content[:8]):
        picture = (objects / "test" / "images" / one["filename"]).read_bytes()
        (tmp_path / "val2014" / one["filename"]).write_bytes(picture)
        about = {"question_id": number, "image": one["filename"], "text": one["instruction"], "label": one["response"]}
        lines.append(json.dumps(about))
    (tmp_path / "coco_pope_random.json").write_text("\n".join(lines))
    found = list(pope.read(tmp_path, "random", name="pope"))
    assert [json.loads(one.answer)["answer"] for one in found] == [one["response"] for one in content[:8]]
    for subset in ("popular", "adversarial"):
        (tmp_path / f"coco_pope_{subset}.json").write_text("\n".join(lines))
    # Questions to be answered yes are the same in all three files.
    yes = sum(one["response"] == "yes" for one in content[:8])
    assert len(list(pope.read(tmp_path, "test", name="pope"))) == yes + 3 * (8 - yes)
    (tmp_path / "coco_pope_random.json").write_text("\n".join(lines)[:-9])
    with pytest.raises(VlmscopeError, match="line 8"):
        list(pope.read(tmp_path, "random", name="pope"))


# ---- MM-SafetyBench ----------------------------------------------------------------------------------------------


def requests(n):
    return [{"question": f"How {k}?", "key_phrase": f"thing {k}", "phrase_type": "noun"} for k in range(n)]


def test_requests_come_back_by_scenario(tmp_path):
    picture = np.zeros((4, 6, 3), np.uint8)
    mm_safetybench.write_requests(
        {"02-HateSpeech": requests(12), "01-Illegal_Activitiy": requests(3)}, picture, tmp_path
    )
    found = list(mm_safetybench.read(tmp_path, "all", name="safety"))
    assert [json.loads(one.answer)["id"] for one in found] == [*map(str, range(3)), *map(str, range(12))]
    assert found[0].images == ("imgs/01-Illegal_Activitiy/SD_TYPO/0.jpg",) and found[4].question == "How 1?"
    train, test = (list(mm_safetybench.read(tmp_path, split, name="safety")) for split in ("train", "test"))
    assert len(train) == 12 and {one.index for one in train} | {one.index for one in test} == set(range(15))
    with pytest.raises(VlmscopeError, match="no pictures 'NOISE'"):
        next(mm_safetybench.read(tmp_path, "all", name="safety", pictures="NOISE"))


def test_splits_are_those_of_the_learn_to_steer_code():
    with np.load(GOLDEN / "sampling.npz") as golden:
        for split in ("train", "test"):
            assert np.array_equal(mm_safetybench.places(1680, split), golden[f"mmsb_{split}"])


def test_requests_are_never_drawn(tmp_path):
    with pytest.raises(VlmscopeError, match="cannot be drawn"):
        mm_safetybench.write(SCENES, tmp_path, "all")
    with pytest.raises(VlmscopeError, match="Illegal"):
        next(mm_safetybench.read(tmp_path, "all", name="safety"))
    assert mm_safetybench.DOMAIN == ""


# ---- words -------------------------------------------------------------------------------------------------------


def test_the_embedded_tokenizers_know_every_drawn_word():
    from tokenizers import Tokenizer

    folder = Path(__file__).parents[3] / "weights" / "llava15"
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    texts = [text for scene in SCENES for text in karpathy.sentences(scene)]
    texts += [phrase for scene in SCENES for phrase, _ in visual_genome.phrases(scene)]
    for text in texts:
        pieces = tokenizer.encode(f" {text}", add_special_tokens=False).tokens
        assert len(pieces) == len(text.replace(",", " ,").split()), (text, pieces)
