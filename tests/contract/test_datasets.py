"""What every benchmark promises: what is written is what is read. Benchmarks are found by their files."""

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

from vlmscope import samples
from vlmscope.datasets import base
from vlmscope.errors import VlmscopeError
from vlmscope.world.draw import draw, frames
from vlmscope.world.objects import EVERYDAY
from vlmscope.world.words import is_there

N_SCENES = 12
SEEDS = range(500_000, 500_000 + N_SCENES)
# A benchmark without a domain cannot be drawn (mm_safetybench).
DRAWN = [kind for kind in base.kinds() if base.load(kind).DOMAIN]
CASES = [(kind, split) for kind in DRAWN for split in base.load(kind).SPLITS]
# Several rows of one picture.
MANY = ("vqav2_questions", "visual_genome", "pope", "hallusion_bench")
# Questions that are asked as they are.
BARE = ("pope", "coco_objects", "llava_next_data", "llava_json", "sae_pictures", "hallusion_bench")
# Whole conversations, some without a picture.
TALKS = ("llava_next_data", "llava_json")
# Answers yes or no to questions after things.
THINGS = ("pope", "hallusion_bench")
LOSSLESS = {".png", ".tif", ".parquet"}


@pytest.fixture(scope="module", params=CASES, ids=["-".join(case) for case in CASES])
def written(request, tmp_path_factory):
    kind, split = request.param
    module = base.load(kind)
    scenes = [draw(module.DOMAIN, seed) for seed in SEEDS]
    root = tmp_path_factory.mktemp(kind)
    files = module.write(scenes, root, split)
    return module, scenes, root, split, files


def answer_of(module, sample):
    """The plain answer in the official structure of a benchmark."""
    answer = json.loads(sample.answer)
    if module.DOMAIN == "med":
        return sample.choices["ABCD".index(answer)].strip()[2:]
    if module.DOMAIN == "ad":
        return answer.lower().removesuffix(".")
    if kind_of(module) in TALKS:
        return answer["turns"][1][1]
    if kind_of(module) == "sae_pictures":
        return answer["source"]
    if is_captions(module):
        return answer["caption"] if "caption" in answer else answer["captions"][0]
    if kind_of(module) in MANY:
        return answer["answer" if kind_of(module) in THINGS else "choice"]
    if is_objects(module):
        return sorted((one["class"], one["area"]) for one in answer["objects"])
    return {"rs": lambda: answer["answer"], "com": lambda: answer[0]["answer"], "doc": lambda: answer[0]}[
        module.DOMAIN
    ]()


def is_captions(module):
    """Whether pictures have captions in place of questions."""
    return hasattr(module, "QUERY")


def is_objects(module):
    """Whether pictures have lists of objects in place of answers."""
    return module.LABEL == "COCO objects"


def kind_of(module):
    return module.__name__.rpartition(".")[2]


def facts(module, scene):
    """Questions about a scene with their answers."""
    if kind_of(module) == "visual_genome":
        return {(module.QUERY, phrase) for phrase, _ in module.phrases(scene)}
    if kind_of(module) in THINGS:
        present = {thing.name for k, thing in enumerate(scene.things, 1) if (scene.mask == k).any()}
        return {(one.text, one.answer) for one in (is_there(name, name in present) for name in EVERYDAY)}
    if is_objects(module):
        areas = [(thing.name, int((scene.mask == k).sum())) for k, thing in enumerate(scene.things, start=1)]
        return [(next(iter(module.asked(scene)), ""), sorted(one for one in areas if one[1]))]
    if kind_of(module) == "sae_pictures":
        return {("", "drawn")}
    if is_captions(module):
        return {(module.QUERY, scene.caption)}
    return {(asked.text, asked.answer) for asked in scene.questions}


def scene_of(module, sample, scenes, root):
    """The scene whose picture is nearest to that of a sample, and how far it is in gray levels."""
    pixels = np.asarray(samples.picture(sample, root)).astype(float)
    if module.DOMAIN == "ad":
        pixels = pixels[:, : scenes[0].image.shape[1]]
    apart = [np.abs(pixels - scene.image).mean() for scene in scenes]
    return scenes[int(np.argmin(apart))], min(apart)


def pictured(module, root, split):
    """Samples that have a picture."""
    read = [one for one in module.read(root, split, name="x") if one.images or kind_of(module) not in TALKS]
    assert all(one.images for one in read)
    return read


def test_questions_answers_and_pictures_come_back(written):
    module, scenes, root, split, _ = written
    read = pictured(module, root, split)
    assert read
    for one in read:
        scene, apart = scene_of(module, one, scenes, root)
        assert (one.question, answer_of(module, one)) in facts(module, scene)
        ending = Path(one.images[0].partition("#")[0]).suffix
        assert apart == 0 if ending in LOSSLESS else apart < 3
        picture = samples.picture(one, root)
        assert (one.width, one.height) == picture.size


def test_rows_are_those_of_the_official_loader(written):
    module, scenes, root, split, _ = written
    read = pictured(module, root, split)
    if module.DOMAIN == "ad":
        twice = 2 if split == "val" else 1
        assert len(read) == twice * sum(len(scene.questions) for scene in scenes)
        assert [one.index for one in read] == list(range(len(read)))
        assert len({one.group for one in read}) == len(read) // twice
    else:
        assert len({one.images for one in read}) == len(scenes)
        assert (len(read) > len(scenes)) == (kind_of(module) in MANY)
        assert all(one.group == one.sample for one in read)
    assert len({one.sample for one in read}) == len(read)
    if module.DOMAIN in ("rs", "com", "doc"):
        assert [one.index for one in read] == sorted(one.index for one in read)


def test_a_limit_takes_the_first_rows(written):
    module, _, root, split, _ = written
    read = list(module.read(root, split, name="x"))
    for limit in (0, 1, 5, 10**6):
        assert list(module.read(root, split, name="x", limit=limit)) == read[:limit]


def test_samples_survive_the_table(written):
    module, _, root, split, _ = written
    read = list(module.read(root, split, name="x"))
    assert samples.rows(samples.table(read)) == read


def test_writing_is_repeatable_and_leaves_no_parts(written, tmp_path):
    module, scenes, root, split, files = written
    again = module.write(scenes, tmp_path, split)
    assert [path.relative_to(tmp_path) for path in again] == [path.relative_to(root) for path in files]
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in files]
    there = {path for path in root.rglob("*") if path.is_file()}
    assert there == set(files)


def test_prompts(written):
    module, _, root, split, _ = written
    one = pictured(module, root, split)[0]
    assert module.prompt(one, "simple") == f"<image>\n{one.question}"
    full = module.prompt(one, "full")
    assert full.startswith("<image>\n") and one.question in full
    assert (full == module.prompt(one, "simple")) == (is_captions(module) or kind_of(module) in BARE)
    with pytest.raises(VlmscopeError, match="prompt style"):
        module.prompt(one, "verbose")


def test_an_unknown_split_is_refused(written):
    module, _, root, _, _ = written
    with pytest.raises(VlmscopeError, match="no split"):
        next(iter(module.read(root, "nowhere", name="x")))
    with pytest.raises(VlmscopeError, match="no split"):
        module.write([], root, "nowhere")


def test_scenes_of_one_seed_are_refused(written, tmp_path):
    module, scenes, _, split, _ = written
    with pytest.raises(VlmscopeError, match="same seed"):
        module.write([scenes[0], scenes[0]], tmp_path, split)


def tables_of(module, root, split, tmp_path):
    """A copy of the written folder and the tables in it."""
    shutil.copytree(root, tmp_path / "copy")
    found = sorted(path for path in (tmp_path / "copy").rglob("*") if path.suffix in (".json", ".csv", ".parquet"))
    beside = "captions" if is_objects(module) else ("captions", "instances")
    return tmp_path / "copy", [path for path in found if not path.name.startswith(beside)]


@pytest.mark.parametrize("harm", ["gone", "empty", "cut"])
def test_a_harmed_table_is_named_with_its_source(written, tmp_path, harm):
    module, _, root, split, _ = written
    copy, tables = tables_of(module, root, split, tmp_path)
    for table in tables:
        whole = table.read_bytes()
        if harm == "gone":
            table.unlink()
        else:
            table.write_bytes(b"" if harm == "empty" else whole[: len(whole) * 2 // 3 + 1].rstrip(b"\n")[:-30])
        with pytest.raises(VlmscopeError) as caught:
            list(module.read(copy, split, name="x"))
        assert table.name in str(caught.value)
        assert module.SOURCE in caught.value.instead
        table.write_bytes(whole)


def test_missing_pictures_are_left_out_and_counted(written, tmp_path, caplog):
    module, _, root, split, _ = written
    copy, _ = tables_of(module, root, split, tmp_path)
    pictures = sorted(path for path in copy.rglob("*") if path.suffix in base.SAVING)
    if not pictures:
        pytest.skip("pictures are embedded")
    whole = list(module.read(copy, split, name="x"))
    first = next(one for one in whole if one.images)
    gone = next(picture for picture in pictures if picture.relative_to(copy).as_posix() in first.images)
    gone.unlink()
    with caplog.at_level(logging.WARNING):
        rest = list(module.read(copy, split, name="x"))
    assert "missing" in caplog.text
    name = gone.relative_to(copy).as_posix()
    if module.DOMAIN == "ad":
        assert [len(one.images) for one in rest] == [5 - (name in one.images) for one in whole]
    else:
        # The picture counts as seen: its other questions do not step in.
        assert rest == [one for one in whole if name not in one.images]
    for picture in pictures:
        picture.unlink(missing_ok=True)
    with pytest.raises(VlmscopeError, match="no picture is there"):
        list(module.read(copy, split, name="x"))


def test_a_damaged_picture_is_named(written, tmp_path):
    module, _, root, split, _ = written
    copy, _ = tables_of(module, root, split, tmp_path)
    pictures = sorted(path for path in copy.rglob("*") if path.suffix in base.SAVING)
    if not pictures:
        pytest.skip("pictures are embedded")
    for picture in pictures:
        picture.write_bytes(b"no picture")
    with pytest.raises(VlmscopeError, match="cannot be read"):
        list(module.read(copy, split, name="x"))


def test_frames_of_a_recording_begin_with_its_scene():
    scene = draw("ad", 7)
    assert (frames(scene, 5)[0] == scene.image).all()
