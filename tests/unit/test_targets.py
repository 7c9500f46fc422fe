import re
from types import SimpleNamespace

import pytest
from test_layout import changed

from vlmscope import code, config, targets
from vlmscope.errors import VlmscopeError


@pytest.mark.parametrize(
    "target",
    [
        "results/mmneuron/llava/table2.csv",
        "results/captures/llava/domain_counts/ad/00000.h5",
        "results/models/lingo-judge/hub.json",
        "results/data/rs/val.parquet",
        "results/mmneuron/llava/answers/com/none.parquet",
        "results/mmneuron/llava/lens_com_0.html",
        "results/mmneuron/llava/lens_com.csv",
        "results/mmneuron/llava/answers/com/masked.parquet",
        "results/mmneuron/llava/scores/masked.parquet",
        "results/mmneuron/llava/lens/com.parquet",
        "results/mmneuron/llava/lens/com.curves.parquet",
        "results/mmneuron/llava/lens/com.json",
        "results/mmneuron/llava/examples/doc.parquet",
        "results/mmneuron/llava/zeroed/doc.parquet",
        "results/mmneuron/llava/effects/all.parquet",
        "results/mmneuron/llava/varied/all.parquet",
        "results/mmneuron/llava/effects.csv",
        "results/mmneuron/llava/neurons.parquet",
        "results/mmneuron/llava15/lens_com.csv",
        "results/mm_neurons/llava15/nouns.parquet",
        "results/mmneuron/llava15/fig2_pca.csv",
        "results/mmneuron/llava15/answers/com/none.parquet",
        "all",
        "results/report/config.yaml",
    ],
)
def test_known_targets_pass(target):
    targets.check([target], config.default())


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("results/mmneuron/lava/table2.csv", "model 'lava'"),
        ("results/models/lava/model.json", "model 'lava'"),
        ("results/captures/llava/counts/ad/index.json", "capture 'counts'"),
        ("results/captures/llava/domain_counts/med2/index.json", "dataset 'med2'"),
        ("results/data/lava/val.parquet", "dataset 'lava'"),
        ("results/xl_vlms/lava/vectors/dog.h5", "model 'lava'"),
        ("results/atlas/lava/index.html", "model 'lava'"),
        ("results/xl_vlms/llava15/vectors/wolf.h5", "set 'wolf'"),
        ("results/xl_vlms/llava15/released/features/wolf.pth", "set 'wolf'"),
        ("results/mmneuron/llava/answers/coco/none.parquet", "domain 'coco'"),
        ("results/mmneuron/llava/lens_coco_0.html", "domain 'coco'"),
        ("results/mmneuron/llava/lens_coco.csv", "domain 'coco'"),
        ("results/mmneuron/llava/lens_com_7.html", "page '7'"),
        ("results/mmneuron/llava/lens/coco.parquet", "domain 'coco'"),
        ("results/mmneuron/llava/lens/coco.curves.parquet", "domain 'coco'"),
        ("results/mmneuron/llava/lens/coco.json", "domain 'coco'"),
        ("results/mmneuron/llava/examples/coco.parquet", "domain 'coco'"),
        ("results/mmneuron/llava/zeroed/coco.parquet", "domain 'coco'"),
        ("results/mmneuron/llava/effects/coco.parquet", "portion 'coco'"),
        ("results/mmneuron/llava/effects/doc.parquet", "portion 'doc'"),
        ("results/mmneuron/llava/varied/coco.parquet", "portion 'coco'"),
        ("results/mmneuron/llava/scores/all.parquet", "part 'all'"),
        ("results/mmneuron/llava/answers/com/all.parquet", "part 'all'"),
        ("results/mmneuron/lingo-judge/table2.csv", "model 'lingo-judge'"),
        ("results/data/rs/test.parquet", "split 'test'"),
    ],
)
def test_a_target_with_an_unknown_name_is_answered_with_the_known_ones(target, words):
    with pytest.raises(VlmscopeError, match=words) as caught:
        targets.check(["all", target], config.default())
    assert caught.value.instead.startswith("one of: ")


def test_portions_are_domains_where_each_has_a_job_of_its_own():
    paper = changed(scale="paper")
    targets.check(["results/mmneuron/llava/effects/doc.parquet"], paper)
    with pytest.raises(VlmscopeError, match="portion 'all'"):
        targets.check(["results/mmneuron/llava/effects/all.parquet"], paper)


@pytest.mark.parametrize("file", ["table2.csv", "neurons.parquet", "examples/ad.parquet", "answers/ad/masked.parquet"])
def test_neurons_of_a_family_without_modules_are_not_defined(file):
    with pytest.raises(VlmscopeError, match="'idefics2', which mmneuron does not define") as caught:
        targets.check([f"results/mmneuron/idefics2/{file}"], config.default())
    assert caught.value.where == "models.idefics2.family: idefics2"
    wanted = "a model of one of the families llava, llava_next, llava_next_llama3, llava_phi, instructblip: llava, "
    assert caught.value.instead.startswith(wanted)


def test_every_file_that_a_rule_makes_per_name_has_a_shape():
    named = {"{model}", "{domain}", "{part}", "{portion}", "{number}", "{split}", "{dataset}", "{capture}"}
    made = set()
    for path in sorted((code.ROOT / "rules").glob("*.smk")):
        made |= set(
            re.findall(
                r'"(results/(?:data|captures|mm_?neurons?|xl_vlms)/[^"]*\{[^"]*)"', path.read_text(encoding="utf-8")
            )
        )
    assert len(made) > 30
    for pattern in made:
        wildcards = set(re.findall(r"\{+\w+\}+", pattern.replace("{{", "{").replace("}}", "}"))) & named
        example = re.sub(r"\{+(\w+)\}+", lambda found: "0" if found[1] == "number" else found[1], pattern)
        assert len(targets._names_in(example)) >= len(wildcards), pattern


def planned(**run):
    own = config.default().run.model_copy(update=run)
    names = {"mmneuron": "table.csv", "xl_vlms": "cox.csv"}
    return targets.Made(
        own,
        headline={
            system: [[f"results/{system}/{model}/{file}" for model in getattr(own, system)]]
            for system, file in names.items()
        },
        more={"xl_vlms": [["results/xl_vlms/molmo/shift.csv", "results/xl_vlms/across_models.csv"]]},
    )


def test_the_headline_is_that_of_each_first_model():
    made = planned(mmneuron=["blip", "llava"], xl_vlms=["molmo"])
    assert made.headline == ["results/mmneuron/blip/table.csv", "results/xl_vlms/molmo/cox.csv"]
    assert planned(mmneuron=[], xl_vlms=["molmo"]).headline == ["results/xl_vlms/molmo/cox.csv"]


def test_a_system_is_all_its_models_and_everything_all_systems():
    made = planned(mmneuron=["blip", "llava"], xl_vlms=["molmo"])
    assert made.of("mmneuron") == ["results/mmneuron/blip/table.csv", "results/mmneuron/llava/table.csv"]
    assert made.of("xl_vlms", "molmo") == ["results/xl_vlms/molmo/cox.csv", "results/xl_vlms/molmo/shift.csv"]
    assert (
        made.every == [*made.of("mmneuron"), *made.of("xl_vlms")] and "results/xl_vlms/across_models.csv" in made.every
    )


def test_a_manifest_of_a_model_that_is_not_run_says_where_to_name_it():
    asked = SimpleNamespace(system="mmneuron", model="llava15")
    with pytest.raises(VlmscopeError, match="'llava15' is not among the models of mmneuron") as caught:
        planned().files(asked)
    assert caught.value.where == "run.mmneuron"
