"""Official releases turned into folders that load: nothing missing, nothing left over, the same numbers."""

import hashlib
import json
import os
import subprocess
import sys
import weakref
from pathlib import Path

import official
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from vlmscope.errors import VlmscopeError
from vlmscope.models import inputs, load
from vlmscope.models.answer import new_tokens
from vlmscope.models.base import family, names
from vlmscope.models.convert import folder, mplug_owl2, pickles
from vlmscope.models.convert.recipe import recipe

QUESTIONS = ("<image>\nDescribe the image in few words.", "<image>\nHow many dogs are there?")


def converted(release: Path, kind: str) -> Path:
    beside = ("tower",) if (release / "tower").is_dir() else ()
    folder.convert(official.record(release, beside), release.parent / "converted", family=kind)
    return release.parent / "converted"


def loaded(target: Path, kind: str):
    """Loaded as any job does it."""
    about = {"family": kind, "checkpoint": "authors/model", "revision": "main", "dtype": "float32"}
    official.write_json(load.describe(target, about), target.parent / "model.json")
    return load.load(target.parent / "model.json")


def pictures(count):
    rows = torch.arange(40)[:, None] * 6
    return [Image.fromarray((rows + 9 * shift).expand(40, 30).to(torch.uint8).numpy()) for shift in range(count)]


def assert_same_weights(model, wanted):
    found, wanted = model.state_dict(), wanted.state_dict()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(value, wanted[name]) for name, value in found.items())


# ---- LLaVA with Llama-2 ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tower", ["beside", "shards"])
@pytest.mark.parametrize("projector", ["shards", "apart"])
def test_every_weight_of_llava_arrives_wherever_it_was(tmp_path, tower, projector):
    model = official.llava(tmp_path / "hub", tower=tower, projector=projector)
    target = converted(tmp_path / "hub", "llava_llama2")
    found = loaded(target, "llava_llama2")
    assert_same_weights(found.model, model)
    assert found.about["revision"] == "c" * 40
    config = found.config
    assert (config.image_token_id, config.vision_feature_layer, config.projector_hidden_act) == (0, -2, "linear")
    assert config.text_config.vocab_size == official.PIECES == found.model.lm_head.weight.shape[0]


@pytest.fixture(scope="module")
def llava(tmp_path_factory):
    release = tmp_path_factory.mktemp("llava") / "hub"
    model = official.llava(release)
    return loaded(converted(release, "llava_llama2"), "llava_llama2"), model


def test_logits_are_those_of_embeddings_joined_as_the_official_code_does(llava):
    """Text before and after the picture tokenised on its own, the projected patches between (mm_neurons.md 2.2)."""
    found, model = llava
    text = found.family.template.format(prompt=QUESTIONS[0])
    before, after = (found.processor.tokenizer(part)["input_ids"] for part in text.split("<image>"))
    tensors = inputs.encode(found, [text], pictures(1), "right")
    pixels = found.processor.inner.image_processor(pictures(1), return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(tensors["pixel_values"], pixels)
    with torch.inference_mode():
        seen = model.model.vision_tower(pixels, output_hidden_states=True).hidden_states[-2][:, 1:]
        patches = model.model.multi_modal_projector.linear_1(seen)
        embed = model.get_input_embeddings()
        joined = torch.cat([embed(torch.tensor([before])), patches, embed(torch.tensor([after[1:]]))], 1)
        wanted = model(inputs_embeds=joined).logits
        got = found.model(**tensors).logits
    assert tensors["input_ids"].tolist() == [before + [0] * 4 + after[1:]]
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=0)


def test_padding_is_not_taken_for_the_picture(llava):
    found, _ = llava
    texts = [found.family.template.format(prompt=one) for one in (*QUESTIONS, QUESTIONS[0] + QUESTIONS[1][8:])]
    both = inputs.encode(found, texts, pictures(3), "left")
    assert (both["input_ids"] == found.config.image_token_id).sum(1).tolist() == [4, 4, 4]
    assert not both["attention_mask"].all()
    single = [inputs.encode(found, [text], [picture], "left") for text, picture in zip(texts, pictures(3), strict=True)]
    assert new_tokens(found, both, 6) == [new_tokens(found, one, 6)[0] for one in single]


@pytest.mark.parametrize("setting", [{"mm_use_im_start_end": True}, {"rope_scaling": {"type": "linear", "factor": 2}}])
def test_a_llava_of_another_kind_is_refused(tmp_path, setting):
    official.llava(tmp_path / "hub")
    path = tmp_path / "hub" / "config.json"
    official.write_json(json.loads(path.read_text()) | setting, path)
    with pytest.raises(VlmscopeError, match=next(iter(setting))):
        converted(tmp_path / "hub", "llava_llama2")


# ---- mPLUG-Owl2 and CLIP -----------------------------------------------------------------------------------------


def test_mplug_owl2_arrives_whole_and_computes_the_same(tmp_path):
    model = official.mplug_owl2(tmp_path / "hub")
    found = loaded(converted(tmp_path / "hub", "mplug_owl2"), "mplug_owl2")
    assert_same_weights(found.model, model)
    assert found.config.visual_config.visual_abstractor.num_learnable_queries == 4
    text = found.family.template.format(prompt=QUESTIONS[0])
    tensors = inputs.encode(found, [text], pictures(1), "right")
    with torch.inference_mode():
        torch.testing.assert_close(found.model(**tensors).logits, model(**tensors).logits, atol=1e-6, rtol=0)
    assert (tensors["input_ids"] == -200).sum() == 5


def test_a_pickled_checkpoint_of_the_library_keeps_its_files(tmp_path):
    model = official.clip(tmp_path / "hub")
    target = converted(tmp_path / "hub", "clip")
    found = loaded(target, "clip")
    assert_same_weights(found.model, model)
    tensors = inputs.encode(found, ["<image> dog"], pictures(1), "right")
    tensors = {name: tensors[name] for name in ("input_ids", "attention_mask", "pixel_values")}
    with torch.inference_mode():
        scores = [one(**tensors).logits_per_image for one in (found.model, model)]
    torch.testing.assert_close(*scores, atol=1e-6, rtol=0)
    assert tensors["input_ids"].tolist() == [[3]]
    same = "preprocessor_config.json"
    assert (target / same).read_bytes() == (tmp_path / "hub" / same).read_bytes()
    assert not list(target.glob("*.bin*"))


def test_families_without_a_recipe_of_their_own_take_the_plain_one():
    assert recipe("clip") is recipe("llava") is recipe("plain")
    assert recipe("clip").pickles == ["pytorch_model*.bin"]
    assert recipe("llava_llama2").pickles == ["pytorch_model*.bin", "mm_projector.bin"]
    assert [one.dropped for one in recipe("mplug_owl2").sources] == [mplug_owl2.DROPPED]


def test_recipes_start_without_torch():
    lines = [f"recipe({name!r})" for name in names()]
    program = "; ".join(["import sys", "from vlmscope.models.convert.recipe import recipe", *lines])
    done = subprocess.run([sys.executable, "-c", program + "; print('torch' in sys.modules)"], capture_output=True)
    assert done.stdout.strip() == b"False", done.stderr


def test_a_model_that_lacks_weights_is_never_loaded(tmp_path):
    official.mplug_owl2(tmp_path / "hub")
    target = converted(tmp_path / "hub", "mplug_owl2")
    model = load.model_class(family("mplug_owl2")).from_pretrained(target)
    state = {name: value for name, value in model.state_dict().items() if "lm_head" not in name}
    for path in target.glob("model*"):
        path.unlink()
    model.save_pretrained(target, state_dict=state)
    with pytest.raises(VlmscopeError, match=r"lacks 1 weights of its model class: lm_head\.weight"):
        loaded(target, "mplug_owl2")


# ---- what is refused ---------------------------------------------------------------------------------------------


def test_missing_weights_are_listed_before_anything_is_written(tmp_path):
    official.mplug_owl2(tmp_path / "hub", drop={"lm_head.weight", "model.layers.1.mlp.up_proj.weight"})
    listed = r"2 missing: lm_head\.weight, model\.layers\.1\.mlp\.up_proj\.weight"
    with pytest.raises(VlmscopeError, match=listed):
        converted(tmp_path / "hub", "mplug_owl2")
    assert not list(tmp_path.glob("converted/*"))


def test_weights_left_over_and_of_another_shape_are_listed_together(tmp_path):
    strange = {"model.extra.weight": torch.ones(2), "lm_head.weight": torch.ones(3, 24)}
    official.llava(tmp_path / "hub", add=strange.items())
    with pytest.raises(VlmscopeError) as caught:
        converted(tmp_path / "hub", "llava_llama2")
    assert "1 left over: model.language_model.extra.weight" in caught.value.what
    assert "1 of another shape: lm_head.weight (3, 24) instead of (640, 24)" in caught.value.what


def test_a_weight_in_two_shards_is_told(tmp_path):
    model = official.mplug_owl2(tmp_path / "hub")
    shard = sorted((tmp_path / "hub").glob("*.bin"))[0]
    torch.save(pickles.read(shard) | {"lm_head.weight": model.lm_head.weight}, tmp_path / "new")
    os.replace(tmp_path / "new", shard)
    with pytest.raises(VlmscopeError, match=r"1 there twice: lm_head\.weight"):
        converted(tmp_path / "hub", "mplug_owl2")


def test_a_shard_that_is_not_there_is_named(tmp_path):
    official.mplug_owl2(tmp_path / "hub")
    (tmp_path / "hub" / "pytorch_model-00003-of-00004.bin").unlink()
    with pytest.raises(VlmscopeError, match="not those of the index: pytorch_model-00003"):
        converted(tmp_path / "hub", "mplug_owl2")
    for path in (tmp_path / "hub").glob("*.bin"):
        path.unlink()
    with pytest.raises(VlmscopeError, match=r"no file pytorch_model\*\.bin"):
        converted(tmp_path / "hub", "mplug_owl2")


def test_a_configuration_that_lacks_something_is_told(tmp_path):
    official.mplug_owl2(tmp_path / "hub")
    official.write_json(official.TEXT, tmp_path / "hub" / "config.json")
    with pytest.raises(VlmscopeError, match="lacks 'visual_config'"):
        converted(tmp_path / "hub", "mplug_owl2")


class Hostile:
    """Runs a command when it is unpickled by a reader that runs what it reads."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize(
    "content",
    [
        lambda trace: {"lm_head.weight": torch.ones(2), "x": Hostile(f"touch {trace}")},
        lambda trace: Hostile(f"touch {trace}"),
        lambda trace: {"model": {"lm_head.weight": torch.ones(2)}},
        lambda trace: {"lm_head.weight": torch.ones(2), 7: torch.ones(2)},
        lambda trace: {"lm_head.weight": torch.eye(3).to_sparse()},
        lambda trace: [torch.ones(2)],
    ],
    ids=["program among weights", "program", "table of tables", "number for a name", "sparse", "list"],
)
def test_pickles_of_more_than_weights_are_refused_and_nothing_of_them_runs(tmp_path, content):
    path, trace = tmp_path / "pytorch_model.bin", tmp_path / "it ran".replace(" ", "_")
    torch.save(content(trace), path)
    with pytest.raises(VlmscopeError, match="The file is refused") as caught:
        pickles.read(path)
    assert caught.value.where == str(path) and not trace.exists()


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "old"])
def test_damaged_pickles_are_named(tmp_path, damage):
    path = tmp_path / "pytorch_model.bin"
    torch.save({"a.weight": torch.ones(400)}, path, _use_new_zipfile_serialization=damage != "old")
    whole = path.read_bytes()
    path.write_bytes({"cut": whole[:900], "text": b"version https://git-lfs", "empty": b"", "old": whole}[damage])
    with pytest.raises(VlmscopeError, match="The file is refused") as caught:
        pickles.read(path)
    assert caught.value.where == str(path)


# ---- memory, interruption ----------------------------------------------------------------------------------------


def test_no_two_shards_are_open_at_once(tmp_path, monkeypatch):
    official.mplug_owl2(tmp_path / "hub")
    read, living = pickles.read, []

    def watched(path):
        assert not [one for one in living if one() is not None], f"{path.name} was opened beside another"
        found = read(path)
        living.extend(weakref.ref(value) for value in found.values())
        return found

    monkeypatch.setattr(pickles, "read", watched)
    converted(tmp_path / "hub", "mplug_owl2")
    assert len(living) > 100


def test_views_of_one_another_become_tensors_of_their_own(tmp_path):
    whole = torch.arange(12.0).reshape(3, 4)
    found = {"a": whole, "b": whole[1:], "c": whole.T, "d": torch.ones(2)}
    own = dict(folder._owned(found, {name: name for name in found}))
    assert all(torch.equal(own[name], found[name]) and own[name].is_contiguous() for name in found)
    assert len({value.data_ptr() for value in own.values()}) == 4
    assert own["a"].data_ptr() == whole.data_ptr() and own["d"].data_ptr() == found["d"].data_ptr()


def test_an_interrupted_conversion_goes_on_where_it_stopped(tmp_path, monkeypatch):
    official.mplug_owl2(tmp_path / "hub")
    target, save, asked = tmp_path / "converted", folder.tensors.save_file, []

    def interrupted(held, path, metadata):
        save(held, path, metadata)
        asked.append(path)
        if len(asked) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(folder.tensors, "save_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        converted(tmp_path / "hub", "mplug_owl2")
    done = sorted(path.name for path in target.glob("*"))
    assert done == ["model-00001-of-00004.safetensors", "model-00002-of-00004.safetensors"]
    # The second is damaged meanwhile, and a file of another release lies there.
    (target / done[1]).write_bytes((target / done[1]).read_bytes()[:50])
    (target / "model-00009-of-00009.safetensors").write_bytes(b"old")
    monkeypatch.setattr(
        folder.tensors, "save_file", lambda *args, **options: (asked.append(args[1]), save(*args, **options))
    )
    before = (target / done[0]).stat().st_mtime_ns
    converted(tmp_path / "hub", "mplug_owl2")
    assert [path.name[:11] for path in asked[3:]] == ["model-00002", "model-00003", "model-00004"]
    assert (target / done[0]).stat().st_mtime_ns == before
    assert len(list(target.glob("*.safetensors"))) == 4 and not list(target.glob("*.part"))
    index = json.loads((target / folder.INDEX).read_text())["weight_map"]
    for name, place in index.items():
        with safe_open(target / place, "pt") as file:
            assert name in file.keys()  # noqa: SIM118


def test_another_release_is_converted_anew(tmp_path):
    official.mplug_owl2(tmp_path / "hub")
    target = converted(tmp_path / "hub", "mplug_owl2")
    first = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in target.glob("*.safetensors")}
    shard = sorted((tmp_path / "hub").glob("*.bin"))[1]
    tensors = {name: value + 1 for name, value in pickles.read(shard).items()}
    torch.save(tensors, tmp_path / "new")
    os.replace(tmp_path / "new", shard)
    converted(tmp_path / "hub", "mplug_owl2")
    second = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in target.glob("*.safetensors")}
    assert [name for name in sorted(first) if first[name] != second[name]] == ["model-00002-of-00004.safetensors"]


def test_a_full_disk_is_told_before_the_first_shard(tmp_path, monkeypatch):
    official.mplug_owl2(tmp_path / "hub")
    monkeypatch.setattr(folder.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10})())
    with pytest.raises(VlmscopeError, match="The conversion needs"):
        converted(tmp_path / "hub", "mplug_owl2")
    assert not list(tmp_path.glob("converted/*"))
