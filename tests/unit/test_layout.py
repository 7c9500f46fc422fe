import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from configured import changed

from vlmscope import checks, config, layout
from vlmscope.errors import VlmscopeError
from vlmscope.models import load


def names(**wildcards):
    return SimpleNamespace(**wildcards)


PATHS = layout.Paths(config.default())


def test_shards_are_numbered_from_nought_with_five_digits():
    assert layout.shard_names(3) == ["00000", "00001", "00002"]
    assert layout.shard_names(0) == []


def test_all_shards_of_a_capture_are_listed_in_order():
    paths = layout.Paths(changed(captures__domain_counts__shards=3))
    found = paths.shards(names(model="llava", capture="domain_counts", dataset="ad"))
    assert found == [f"results/captures/llava/domain_counts/ad/0000{n}.h5" for n in range(3)]


def test_counts_come_in_the_order_of_the_domains():
    assert PATHS.counts("{model}") == [
        f"results/captures/{{model}}/domain_counts/{domain}/index.json" for domain in ("ad", "med", "rs", "com", "doc")
    ]
    turned = changed(mmneuron__domains=["rs", "ad"], mmneuron__columns=["ad", "rs"])
    assert [path.split("/")[4] for path in layout.Paths(turned).counts("llava")] == ["rs", "ad"]


def test_datasets_and_checkpoints_are_chosen_by_source():
    assert PATHS.datasets("drawn") + PATHS.datasets("joined") == sorted(PATHS.config.datasets, key="joined".__eq__)
    assert PATHS.datasets("download") == PATHS.datasets("folder") == []
    folders, tuned, hub = (PATHS.checkpoints(source) for source in ("folder", "finetune", "hub"))
    assert (folders + tuned, hub) == (list(PATHS.config.models), list(PATHS.config.judges))


def test_pictures_behind_links_have_a_rule_of_their_own():
    paths = layout.Paths(changed(datasets__sbu__source="download", datasets__com__source="download"))
    assert (paths.downloads(linked=True), paths.downloads(linked=False)) == (["sbu"], ["com"])
    assert paths.deal(names(dataset="sbu")) == "{}"
    options = {"query": "what?", "train": 5, "seed": 1}
    paths = layout.Paths(changed(datasets__sbu__options=options))
    assert paths.deal(names(dataset="sbu")) == '{"seed":1,"train":5}'


def test_a_dataset_lies_in_its_root_or_below_the_results():
    paths = layout.Paths(changed(datasets__ad__root="/data/lingoqa"))
    assert paths.raw_folder(names(dataset="ad")) == "/data/lingoqa"
    assert paths.raw_folder(names(dataset="rs")) == "results/data/rs/download"


@pytest.mark.parametrize(
    ("source", "folder", "files"),
    [
        ("hub", "results/models/llava/hub", ["results/models/llava/hub.json"]),
        ("official", "results/models/llava/converted", ["results/models/llava/converted.json"]),
        ("train", "results/models/llava15/trained", ["results/models/llava15/trained/model.safetensors"]),
    ],
)
def test_a_model_comes_from_where_its_source_says(source, folder, files):
    paths = layout.Paths(changed(models__llava__source=source, models__llava__checkpoint="llava15"))
    assert paths.model_folder(names(model="llava")) == folder
    assert paths.model_files(names(model="llava")) == files


def test_models_that_score_decoded_words_are_asked_for_once():
    assert PATHS.scorers(names(model="llava")) == []
    folders = {
        f"mm_neurons__measures__{name}": folder for name, folder in (("bertscore", "/m/a"), ("moverscore", "/m/a"))
    }
    paths = layout.Paths(changed(**folders, mm_neurons__measures__bleurt="/m/b"))
    assert paths.scorers(names(model="llava")) == ["/m/a/config.json", "/m/b/config.json"]


def test_a_recipe_waits_for_the_models_that_it_takes_parts_of():
    before = [PATHS.trained_before(names(model=name)) for name in ("llava15-seed1", "llava", "blip", "clip")]
    trained = "results/models/{}/trained/model.safetensors".format
    assert before == [[trained("clip-seed1")], [trained("clip"), trained("llava15")], [], []]


def test_a_model_that_is_trained_names_a_recipe_of_its_family():
    with pytest.raises(VlmscopeError, match="one of: llava15, llava15-seed1, llava15-seed2"):
        checks.check_plan(changed(models__llava15__source="train", models__llava15__checkpoint="blip"))
    checks.check_plan(changed(models__llava15__source="train", models__llava15__checkpoint="llava15-seed1"))


def test_pickles_are_asked_for_only_where_a_release_is_converted():
    told = {"checkpoint": "authors/model", "revision": "v1", "family": "llava_llama2", "label": "L"}
    asked = {}
    for source in ("hub", "official"):
        paths = layout.Paths(changed(models__one={**told, "source": source}))
        asked[source] = json.loads(paths.hub_settings(names(model="one")))
        assert paths.checkpoints("hub", "official") == ["one", *paths.config.judges]
        assert paths.checkpoints("official") == (["one"] if source == "official" else [])
    assert asked["hub"] == {"checkpoint": "authors/model", "revision": "v1"}
    assert asked["official"]["pickles"] == ["pytorch_model*.bin", "mm_projector.bin"]
    assert asked["official"]["beside"]["tower"][0] == "openai/clip-vit-large-patch14"


def test_a_checkpoint_folder_is_found_from_here_or_from_the_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load.checkpoint_folder("weights/llava") == load.ROOT / "weights" / "llava"
    (tmp_path / "weights" / "llava").mkdir(parents=True)
    assert load.checkpoint_folder("weights/llava") == Path("weights/llava")
    assert load.checkpoint_folder("/nowhere") == Path("/nowhere")


def test_all_weight_files_of_a_folder_stand_for_a_model(tmp_path):
    for name in ("b.safetensors", "a.safetensors", "config.json"):
        (tmp_path / name).touch()
    paths = layout.Paths(changed(models__llava__checkpoint=str(tmp_path)))
    assert paths.model_files(names(model="llava")) == [str(tmp_path / "a.safetensors"), str(tmp_path / "b.safetensors")]
    missing = layout.Paths(changed(models__llava__checkpoint="nowhere"))
    assert missing.model_files(names(model="llava")) == []


def test_labels_are_not_among_what_masked_answers_depend_on():
    conditions = config.plain(config.default())["mmneuron"]["conditions"]
    for row in conditions["llava_next"]:
        row["label"] = "another " + row["label"]
    relabelled = layout.Paths(changed(mmneuron__conditions=conditions))
    assert relabelled.masked_conditions(names(model="llava")) == PATHS.masked_conditions(names(model="llava"))
    assert relabelled.condition_modules(names(model="llava")) == PATHS.condition_modules(names(model="llava"))
    assert relabelled.conditions(names(model="llava")) != PATHS.conditions(names(model="llava"))


def test_masked_conditions_are_those_that_mask_something():
    found = json.loads(PATHS.masked_conditions(names(model="llava")))
    assert found == [
        ["lang", ["lang"]],
        ["vision", ["vision", "mmproj"]],
        ["mmproj", ["mmproj"]],
        ["all", ["lang", "vision", "mmproj"]],
    ]


@pytest.mark.parametrize(
    ("changes", "files"),
    [
        ({}, []),
        ({"mmneuron__evaluate__judge": "lingo-judge"}, ["results/models/lingo-judge/hub.json"]),
        (
            {"mmneuron__evaluate__judge": "mine", "judges": {"mine": {"source": "folder", "checkpoint": "/j"}}},
            ["/j/config.json"],
        ),
        (
            {
                "mmneuron__evaluate__judge": "lingo-judge",
                "mmneuron__domains": ["rs", "doc"],
                "mmneuron__columns": ["rs", "doc"],
            },
            [],
        ),
    ],
)
def test_a_judge_is_needed_for_free_answers_alone(changes, files):
    assert layout.Paths(changed(**changes)).judge(names(model="llava")) == files


def test_the_sample_table_of_a_capture_is_that_of_its_split():
    paths = layout.Paths(changed(captures__domain_counts__split="val"))
    assert paths.capture_samples(names(capture="domain_counts", dataset="ad")) == "results/data/ad/val.parquet"
    assert PATHS.capture_samples(names(capture="domain_counts", dataset="ad")) == "results/data/ad/train.parquet"


def test_what_the_table_says_of_its_data_keeps_the_order_of_the_domains():
    told = json.loads(PATHS.table_data(names(model="llava")))
    assert told["domains"] == ["ad", "med", "rs", "com", "doc"]
    assert told["kinds"]["med"] == "pmc_vqa" and told["splits"]["med"]["val"] == "test_clean"
    assert told["capture"]["vision_positions"] == 26_000


# ---- checks at start-up ------------------------------------------------------------------------------------------


def test_the_default_plan_holds():
    checks.check_plan(config.default())


def test_a_take_of_some_units_is_not_the_one_that_is_needed():
    takes = [{"site": site} for site in ("mlp_gate", "vision_gate", "projector_gate")]
    takes += [{"site": "mlp_gate", "where": where} for where in ("image", "text")]
    checks.check_plan(changed(captures__domain_counts__take=takes, run__mmneuron=["llava"]))
    takes[1]["units"] = [3, 4]
    with pytest.raises(VlmscopeError, match=r"'domain_counts' lacks takes.*'llava'") as caught:
        checks.check_plan(changed(captures__domain_counts__take=takes, run__mmneuron=["llava"]))
    assert "{site: vision_gate, where: all, keep: counts}" in caught.value.instead


def test_a_capture_without_a_needed_take_is_told_with_the_lines_to_add():
    short = changed(captures__domain_counts__take=[{"site": "mlp_gate"}, {"site": "vision_gate", "keep": "values"}])
    with pytest.raises(VlmscopeError, match=r"'domain_counts' lacks takes.*'llava'") as caught:
        checks.check_plan(short)
    assert caught.value.where == "captures.domain_counts.take"
    assert "{site: vision_gate, where: all, keep: counts}" in caught.value.instead
    assert "{site: projector_gate, where: all, keep: counts}" in caught.value.instead
    assert "{site: mlp_gate, where: image, keep: counts}" in caught.value.instead
    assert "{site: mlp_gate, where: all, keep: counts}" not in caught.value.instead


def test_a_vector_set_needs_the_states_that_its_rule_looks_at():
    final = {"site": "final_norm", "where": "emitting", "keep": "values"}
    checks.check_plan(changed(captures__answer_states__take=[final]))
    counts = {**final, "keep": "counts"}
    with pytest.raises(VlmscopeError, match="no take that the vectors of 'answer-yes'") as caught:
        checks.check_plan(changed(captures__answer_states__take=[counts]))
    assert caught.value.where == "captures.answer_states.take"
    assert "- {site: resid_post, where: word, keep: first, words: [yes]}" in caught.value.instead
    whole = {
        "capture": "concept_states",
        "dataset": "coco",
        "rule": "word_official",
        "words": ["dog"],
        "search": "whole",
    }
    with pytest.raises(VlmscopeError, match="'whole'") as caught:
        checks.check_plan(changed(xl_vlms__sets__whole=whole))
    assert caught.value.instead == "add\n    - {site: resid_post, where: all, keep: values}"


def test_nothing_of_a_benchmark_is_drawn_that_the_world_has_not():
    checks.check_plan(changed(datasets__safety={"kind": "mm_safetybench", "source": "folder", "root": "here"}))
    with pytest.raises(VlmscopeError, match="nothing like mm_safetybench") as caught:
        checks.check_plan(changed(datasets__safety={"kind": "mm_safetybench"}))
    assert caught.value.where == "datasets.safety.source"


def test_a_site_that_no_family_has_is_told():
    checks.check_plan(changed(captures__more={"data": ["ad"], "take": [{"site": "query_gate"}]}))
    with pytest.raises(VlmscopeError, match="No family has a site 'mlp_gates'") as caught:
        checks.check_plan(changed(captures__more={"data": ["ad"], "take": [{"site": "mlp_gates"}]}))
    assert caught.value.where == "captures.more.take"
    assert "mlp_gate, " in caught.value.instead


def test_a_dataset_without_answers_to_score_is_no_domain():
    told = {"kind": "sbu", "scenes": {"train": 2, "val": 2}, "splits": {"train": "train", "val": "valid"}}
    with pytest.raises(VlmscopeError, match=r"'captions' \(sbu\) has no answers") as caught:
        checks.check_plan(
            changed(datasets__captions=told, mmneuron__domains=["ad", "captions"], mmneuron__columns=["ad", "captions"])
        )
    assert (caught.value.where, "docvqa" in caught.value.instead) == ("mmneuron.domains", True)


def test_a_model_that_is_not_run_needs_no_takes():
    checks.check_plan(changed(captures__domain_counts__take=[{"site": "resid_post"}], run__mmneuron=[]))


def test_an_unknown_module_of_a_condition_is_told():
    rows = [
        {"name": "none", "label": "None"},
        {"name": "all", "label": "All", "modules": ["lang", "qformer"]},
    ]
    with pytest.raises(VlmscopeError, match="'all' masks the module 'qformer'") as caught:
        checks.check_plan(changed(run__mmneuron=["llava"], mmneuron__conditions={"llava_next": rows}))
    assert caught.value.instead == "one of: lang, vision, mmproj"


@pytest.mark.parametrize("condition", ["none", "nothing"])
def test_effects_are_measured_under_a_condition_that_masks(condition):
    with pytest.raises(VlmscopeError, match=f"'{condition}' is no condition") as caught:
        checks.check_plan(changed(mmneuron__effects__condition=condition))
    assert caught.value.instead == "one of: lang, vision, mmproj, all"


def test_a_capture_without_what_mm_neurons_reads_is_told_what_it_lacks():
    takes = [{"site": "mlp_gate", "where": "emitting", "keep": "values"}]
    with pytest.raises(VlmscopeError, match="lacks takes that mm_neurons needs") as caught:
        checks.check_plan(changed(captures__captions__take=takes))
    assert "{site: mlp_hidden, where: emitting, keep: values}" in caught.value.instead
    checks.check_plan(changed(captures__captions__take=takes, run__mm_neurons=[]))
    checks.check_plan(changed(captures__captions__take=takes, mm_neurons__rank__activations=["act_fn"]))


def test_a_model_that_one_system_cannot_look_at_has_no_atlas():
    checks.check_plan(changed(run__atlas=[]))
    with pytest.raises(VlmscopeError, match="no atlas of 'molmo'") as caught:
        checks.check_plan(changed(run__atlas=["llava15", "molmo"]))
    assert caught.value.where.startswith("run.atlas") and "llava15" in caught.value.instead


def test_captions_come_from_the_capture_that_is_named():
    paths = layout.Paths(changed(captures__captions__split="val"))
    assert paths.caption_index(names(model="blip")) == "results/captures/blip/captions/sbu/index.json"
    assert paths.captioned(names(model="blip")) == "results/data/sbu/val.parquet"


def test_a_fine_tune_is_a_model_like_any_other():
    own = names(model="llava15-place-quarter", finetune="llava15-place")
    assert PATHS.model_folder(own) == "results/models/llava15-place/finetuned/20"
    assert PATHS.model_folder(names(model="llava15-place")) == "results/models/llava15-place/finetuned/80"
    assert PATHS.model_files(own) == ["results/models/llava15-place/finetuned.json"]
    assert PATHS.finetune_files(own) == {
        "model": "results/models/llava15/model.json",
        "raw": "results/data/vg/raw.json",
        "samples": "results/data/vg/train.parquet",
    }
    told = json.loads(PATHS.finetune_settings(own))
    assert (told["saves"], told["kind"], told["words"]) == (
        [10, 20, 40, 80],
        "visual_genome",
        ["park", "room", "beach"],
    )
    paths = layout.Paths(changed(**{"finetunes__llava15-place__word_class": "drawn_positions"}))
    assert json.loads(paths.finetune_settings(own))["words"][:4] == ["park", "room", "beach", "left"]
