"""Wrong names, wrong values, missing and damaged files: told in words that help, and nothing is lost."""

import os
import re
import shutil

import polars as pl
import pytest
from checkout import TABLE, Checkout

RS = "results/data/rs/drawn"
MODEL = "results/models/llava/model.json"


@pytest.fixture
def worn(finished, tmp_path):
    """A copy of the finished checkout that a test may damage."""
    shutil.copytree(finished.folder, tmp_path / "vlmscope", symlinks=True)
    return Checkout(tmp_path / "vlmscope")


def stamps(checkout: Checkout) -> dict[str, tuple[int, int]]:
    """Size and time of every result."""
    found = {}
    for path in (checkout.folder / "results").rglob("*"):
        if path.is_file():
            stat = path.stat()
            found[str(path.relative_to(checkout.folder))] = stat.st_size, stat.st_mtime_ns
    return found


def refused(checkout: Checkout, *targets: str, key: str = "") -> str:
    """The words with which a plan is refused; checks that they are words and that nothing was touched."""
    before = stamps(checkout)
    done = checkout.run(*targets, "-n", overlays=checkout.overlays(key), check=False)
    words = done.stdout + done.stderr
    assert done.returncode == 1, words
    assert "Traceback" not in words
    assert "where: " in words and "instead: " in words
    assert stamps(checkout) == before
    return words


def failed(checkout: Checkout, *arguments: str, log: str, key: str = "", lost: tuple[str, ...] = ()) -> str:
    """The words with which a job fails; checks that they name log and remedy and that no other result is lost.

    lost   outputs of the job itself, which the engine removes before it runs
    """
    before = {path: stamp for path, stamp in stamps(checkout).items() if path not in lost}
    done = checkout.run(*arguments, "--cores", "1", overlays=checkout.overlays(key), check=False)
    words = done.stdout + done.stderr
    assert done.returncode == 1, words
    assert "Traceback" not in words
    assert "where: " in words and "instead: " in words
    assert f"log: {log}" in words
    assert "instead: " in (checkout.folder / log).read_text(encoding="utf-8"), "the log has the remedy too"
    assert not {path for path, stamp in before.items() if stamps(checkout).get(path) != stamp}
    return words


def cut(path, share: float = 0.5) -> None:
    """Shorten a file; its time stays, so that the engine sees nothing."""
    stat, content = path.stat(), path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


# ---- told when the rules are read --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "named", "known"),
    [
        ("results/mmneuron/lava/table2.csv", "the model 'lava'", "one of: llava"),
        ("results/models/lava/model.json", "the model 'lava'", "one of: llava"),
        ("results/mmneuron/llava/answers/moon/none.parquet", "the domain 'moon'", "one of: ad, med, rs, com, doc"),
        ("results/data/moon/val.parquet", "the dataset 'moon'", "one of: ad, med, rs, com, doc"),
        ("results/captures/llava/count/rs/index.json", "the capture 'count'", "one of: domain_counts"),
    ],
)
def test_an_unknown_name_in_a_target_is_answered_with_the_known_ones(target, named, known, finished):
    words = refused(finished, target)
    assert f"The target {target} names {named}" in words
    assert known in words


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("mmneuron.identify.top_rat=0.1", ["mmneuron.identify.top_rat: no such key", "config.schema.json"]),
        ("mmneuron.identify.top_rate=1.5", ["mmneuron.identify.top_rate", "less than or equal to 1 (is 1.5)"]),
        ("mmneuron=[1]", ["mmneuron: Input should be a valid dictionary"]),
        ("models.llava.family=llama", ["no rows for family 'llama' of model 'llava' (known: "]),
        ("models.other={family: llama, label: x}", ["There is no 'llama'", "models.other.family", "llava_next"]),
        ("datasets.rs.kind=rsvqa2", ["There is no 'rsvqa2'", "datasets.rs.kind", "docvqa, hallusion_bench, karpathy"]),
        ("run.mmneuron=[lava]", ["run.mmneuron names 'lava', which models does not have (known: llava"]),
        ("mmneuron.domains=[ad, moon]", ["mmneuron.domains names 'moon'", "(known: ad, med, rs, com, doc"]),
        (
            "captures.domain_counts.take=[{site: mlp_gate}, {site: vision_gate}]",
            [
                "The capture 'domain_counts' lacks takes that mmneuron needs for the model 'llava'",
                "where: captures.domain_counts.take",
                "- {site: projector_gate, where: all, keep: counts}",
            ],
        ),
        (
            "mmneuron.conditions.llava_next="
            "[{name: none, label: None}, {name: all, label: All, modules: [lang, tower]}]",
            ["The condition 'all' masks the module 'tower'", "one of: lang, vision, mmproj"],
        ),
        ("mmneuron.effects.condition=none", ["'none' is no condition", "mmneuron.effects.condition"]),
    ],
    ids=lambda value: value.split("=")[0] if isinstance(value, str) else "",
)
def test_a_wrong_configuration_is_told_before_anything_runs(key, told, finished):
    words = refused(finished, TABLE, key=key)
    for text in told:
        assert text in words
    # The whole configuration is not what a reader wants to see.
    assert len(words) < 2500


# ---- pictures ----------------------------------------------------------------------------------------------------


def test_a_picture_that_is_missing_is_left_out_with_a_warning(worn):
    table = worn.folder / "results/data/rs/val.parquet"
    before = pl.read_parquet(table)
    (worn.folder / RS / before["images"][0][0]).unlink()
    worn.run("results/data/rs/val.parquet", "--forcerun", "data_samples", "--cores", "1")
    after = pl.read_parquet(table)
    assert after["sample"].to_list() == before["sample"].to_list()[1:]
    log = (worn.folder / "logs/data_samples/rs-val.log").read_text(encoding="utf-8")
    assert re.search(r"W rs: 1 pictures are missing below results/data/rs/drawn; 1 items were left out", log)


def test_a_benchmark_without_any_picture_stops(worn):
    shutil.rmtree(worn.folder / RS / "Data")
    target = "results/data/rs/val.parquet"
    words = failed(worn, target, "--forcerun", "data_samples", log="logs/data_samples/rs-val.log", lost=(target,))
    assert "Of 12 items of rs no picture is there" in words


@pytest.mark.slow
def test_a_picture_that_went_missing_later_is_named_by_the_capture(worn):
    reference = pl.read_parquet(worn.folder / "results/data/rs/train.parquet")["images"][0][0]
    (worn.folder / RS / reference).unlink()
    target = "results/captures/llava/domain_counts/rs/00000.h5"
    log = "logs/capture_shard/llava-domain_counts-rs-00000.log"
    words = failed(worn, target, "--forcerun", "capture_shard", log=log, lost=(target,))
    assert f"The picture {reference} is not there" in words
    assert f"where: {RS}/{reference}" in words
    assert "snakemake --forcerun data_samples" in words


# ---- official files ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dataset", "file"), [("rs", "USGS_split_val_questions.json"), ("ad", "val/val.parquet")], ids=["json", "parquet"]
)
def test_a_cut_official_file_is_named(dataset, file, worn):
    cut(worn.folder / f"results/data/{dataset}/drawn/{file}")
    target, log = f"results/data/{dataset}/val.parquet", f"logs/data_samples/{dataset}-val.log"
    words = failed(worn, target, "--forcerun", "data_samples", log=log, lost=(target,))
    assert f"The file {file.split('/')[-1]} is damaged or cut" in words
    assert f"where: results/data/{dataset}/drawn/{file}" in words
    assert f"instead: draw the dataset anew: snakemake results/data/{dataset}/raw.json --force" in words
    worn.run(f"results/data/{dataset}/raw.json", "--force", "--cores", "1")
    worn.run(target, "--cores", "1")
    assert len(pl.read_parquet(worn.folder / target))


@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("datasets.rs={source: folder, root: data/nowhere}", "where: data/nowhere"),
        ("datasets.rs={source: folder}", "where: datasets.*.root is empty"),
    ],
    ids=["missing", "empty"],
)
def test_a_folder_that_is_not_there_is_told_with_its_key(key, place, worn):
    target = "results/data/rs/raw.json"
    words = failed(worn, target, log="logs/data_folder/rs.log", key=key, lost=(target,))
    assert "The folder with the official files of RS-VQA is not there" in words
    assert place in words
    assert "set datasets.*.root to the folder (layouts: docs/data.md)" in words


def test_a_sample_table_of_another_schema_is_refused(worn):
    table = worn.folder / "results/data/rs/val.parquet"
    stat = table.stat()
    pl.read_parquet(table).rename({"answer": "reply"}).write_parquet(table)
    os.utime(table, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    target, log = "results/mmneuron/llava/scores/none.parquet", "logs/mmneuron_evaluate/llava-none.log"
    words = failed(worn, target, "--forcerun", "mmneuron_evaluate", log=log, lost=(target,))
    assert "where: results/data/rs/val.parquet" in words
    assert "it lacks answer (String); it has unknown columns reply" in words
    assert "delete it and run snakemake again" in words


# ---- checkpoints -------------------------------------------------------------------------------------------------


def nowhere(folder) -> str:
    return "There is no checkpoint here (no config.json)"


def pickled(folder) -> str:
    folder.mkdir()
    shutil.copy(folder.with_name("llava") / "config.json", folder)
    (folder / "pytorch_model.bin").write_bytes(b"anything")
    return "The checkpoint has no .safetensors file; pickled weights are never loaded"


def shortened(folder) -> str:
    shutil.copytree(folder.with_name("llava"), folder)
    cut(folder / "model.safetensors", share=0.9)
    return "The weights are damaged or cut"


def headless(folder) -> str:
    shutil.copytree(folder.with_name("llava"), folder)
    (folder / "model.safetensors").write_text("<html>404 not found</html>")
    return "its header is not whole"


@pytest.mark.parametrize("make", [nowhere, pickled, shortened, headless], ids=lambda make: make.__name__)
def test_a_checkpoint_that_cannot_be_used_is_told_before_it_is_loaded(make, worn):
    told = make(worn.folder / "weights" / make.__name__)
    key = f"models.llava.checkpoint=weights/{make.__name__}"
    words = failed(worn, MODEL, log="logs/model_resolve/llava.log", key=key, lost=(MODEL,))
    assert told in words
    assert f"weights/{make.__name__}" in words.split("where: ")[1].splitlines()[0]


def test_after_the_remedy_what_was_made_before_still_holds(worn):
    target = "results/data/rs/val.parquet"
    questions = worn.folder / RS / "USGS_split_val_questions.json"
    whole, stat = questions.read_bytes(), questions.stat()
    cut(questions)
    failed(worn, target, "--forcerun", "data_samples", log="logs/data_samples/rs-val.log", lost=(target,))
    questions.write_bytes(whole)
    os.utime(questions, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    worn.run(target, "--cores", "1")
    # The same table came out, and the engine compares content: everything behind it still holds.
    assert worn.planned() == {}
