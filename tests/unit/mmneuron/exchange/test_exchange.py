"""Released files: as the released code writes them, ours and theirs and back."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from vlmscope.datasets import base
from vlmscope.errors import VlmscopeError
from vlmscope.mmneuron import identify
from vlmscope.mmneuron.exchange import answers, counts, masks, names
from vlmscope.mmneuron.schemas import ANSWERS
from vlmscope.store import files, shards

GOLDEN = Path(__file__).parents[3] / "golden" / "mmneuron"
TINY = GOLDEN / "tiny_llava_next"
DOMAINS = ("ad", "med", "rs", "com", "doc")
SHAPES = {"lang": (4, 56), "vision": (3, 40), "mmproj": (1, 24)}


@pytest.fixture(scope="module")
def golden():
    with np.load(TINY / "golden.npz") as file:
        return {name: file[name] for name in file.files if name.startswith(("final/", "mask10/"))}


def released_log(golden, domain):
    """What the released code hands to its save function."""
    table = {}
    for module in SHAPES:
        found = {kind: golden[f"final/{domain}/{module}_{kind}"] for kind in ("count", "sum", "tokens")}
        table[f"{module}_log"] = torch.from_numpy(found["count"].astype(np.int32))
        # Saved while gradients were on, the sums still ask for them (mmneuron.md 8 #3).
        table[f"{module}_value"] = torch.from_numpy(found["sum"].astype(np.float64)).requires_grad_() * 1
        table[f"{module}_len"] = torch.tensor(int(found["tokens"]))
    return table


def manifest(tmp_path):
    about = {"family": "llava_next", "folder": str(TINY), "fingerprint": "f"}
    files.write_json(about, tmp_path / "model.json")
    return str(tmp_path / "model.json")


def imported(tmp_path, golden):
    """Indices of all domains, imported from released files."""
    indices = []
    for domain in DOMAINS:
        log, shard = tmp_path / f"{domain}_1.log", tmp_path / domain / "00000.h5"
        torch.save(released_log(golden, domain), log)
        counts.import_shard(str(log), manifest(tmp_path), domain, str(shard))
        shards.close_index(tmp_path / domain / "index.json", [str(shard)], {"model": "llava"})
        indices.append(str(tmp_path / domain / "index.json"))
    return indices


# ---- names -------------------------------------------------------------------------------------------------------


def test_files_are_called_as_the_released_code_calls_them():
    assert names.log_file("llava_next", "ad", 1) == "data/llava_activation/ad/ad_1.log"
    assert names.mask_file("instructblip", "query") == "data/blip_mask/blip-query"
    assert names.answer_file("llava_next", "rs", []) == "results/llava/rs/llava__ans.pt"
    with pytest.raises(VlmscopeError, match="idefics2"):
        names.flag("idefics2")


@pytest.mark.parametrize(
    ("modules", "named"),
    [
        ([], ""),
        (["lang"], "lang"),
        (["vision", "mmproj"], "vision"),
        (["mmproj"], "mmproj"),
        (["lang", "vision", "mmproj"], "lang-vision-mmproj"),
        (["qformer", "query"], "qformer"),
        (["encoder", "qformer", "query"], "encoder-qformer"),
        (["lang", "encoder", "qformer", "query"], "lang-encoder-qformer"),
    ],
)
def test_conditions_have_their_released_names(modules, named):
    assert names.condition(modules) == named


# ---- counts ------------------------------------------------------------------------------------------------------


def test_released_counts_are_read_whole(tmp_path, golden):
    torch.save(released_log(golden, "rs"), tmp_path / "rs_1.log")
    found = counts.read(tmp_path / "rs_1.log", "llava_next", SHAPES)
    for module in SHAPES:
        assert (found[module]["fired"] == golden[f"final/rs/{module}_count"]).all()
        assert (found[module]["total"] == golden[f"final/rs/{module}_sum"]).all()
        assert found[module]["seen"] == golden[f"final/rs/{module}_tokens"]


def test_imported_counts_are_a_capture_and_exported_ones_the_same_file(tmp_path, golden):
    indices = imported(tmp_path, golden)
    found = shards.read_counts(dict(zip(DOMAINS, indices, strict=True)), "vision_gate.all.counts")
    assert (found.fired == np.stack([golden[f"final/{domain}/vision_count"] for domain in DOMAINS])).all()
    # The last layer of the tower has no effect; the model says so, the file cannot.
    assert found.inert == {2}
    counts.export(indices[2], "llava_next", tmp_path / "back" / "rs_1.log")
    before, after = (torch.load(tmp_path / one, weights_only=True) for one in ("rs_1.log", "back/rs_1.log"))
    assert list(before) == list(after)
    for name, value in before.items():
        assert torch.equal(value, after[name])
        assert value.dtype == after[name].dtype


def test_equal_counts_are_equal_bytes(tmp_path, golden):
    indices = imported(tmp_path, golden)
    for folder in ("one", "two"):
        counts.export(indices[0], "llava_next", tmp_path / folder / "ad_1.log")
    assert (tmp_path / "one/ad_1.log").read_bytes() == (tmp_path / "two/ad_1.log").read_bytes()


def test_neurons_of_imported_counts_are_those_of_the_counts(tmp_path, golden):
    rates = {"top_rate": 0.1, "filter_rate": 0.95, "bar_rate": 0.95, "assign": "bar", "compat_float32": False}
    neurons, _ = identify.from_captures(
        imported(tmp_path, golden), domains=DOMAINS, family="llava_next", identify=rates
    )
    for module, shape in SHAPES.items():
        fired = np.stack([golden[f"final/{domain}/{module}_count"] for domain in DOMAINS])
        seen = np.array([golden[f"final/{domain}/{module}_tokens"] for domain in DOMAINS])
        expected = identify.select(fired, seen, **rates).members
        assert (masks.members_of(neurons, module, DOMAINS, shape) == expected).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"vision_log": None}, "lacks vision_log"),
        ({"lang_len": torch.tensor(3.0)}, "counted in"),
        ({"lang_len": torch.tensor([3])}, "the model 4 layers"),
        ({"lang_log": torch.zeros(4, 55, dtype=torch.int32)}, "4 layers of 56 units"),
        ({"lang_log": torch.full((4, 56), -1, dtype=torch.int32)}, "less than never"),
        ({"lang_log": torch.full((4, 56), 1 << 30, dtype=torch.int32)}, "fired more often"),
        ({"mmproj_value": torch.full((1, 24), float("nan"), dtype=torch.float64)}, "fired more often"),
        ({"mmproj_log": [1, 2]}, "lacks mmproj_log"),
    ],
)
def test_counts_that_do_not_fit_the_model_are_refused(tmp_path, golden, change, words):
    torch.save(released_log(golden, "ad") | change, tmp_path / "ad_1.log")
    with pytest.raises(VlmscopeError, match=words):
        counts.read(tmp_path / "ad_1.log", "llava_next", SHAPES)


def test_counts_beyond_the_released_buffer_are_not_cut(tmp_path):
    one = {"fired": np.full((1, 2), 1 << 31), "total": np.zeros((1, 2)), "seen": 1 << 32}
    with pytest.raises(VlmscopeError, match="32 bits"):
        counts.write({"mmproj": one}, tmp_path / "ad_1.log")


# ---- masks -------------------------------------------------------------------------------------------------------

CASES = json.loads((GOLDEN / "identify.json").read_text())


@pytest.mark.parametrize("case", sorted(CASES))
def test_official_masks_come_in_and_go_out_alike(tmp_path, case):
    with np.load(GOLDEN / "identify.npz") as file:
        members = file[f"{case}/official_mask"]
    length = CASES[case]["official_list_length"]
    official = [[torch.from_numpy(np.flatnonzero(layer)).long() for layer in domain] for domain in members[:length]]
    torch.save(official, tmp_path / "llava-lang")
    shape = members.shape[1:]
    # Domains that the released list lost have no neurons.
    assert (masks.read(tmp_path / "llava-lang", 5, shape) == members).all()
    masks.write(members, tmp_path / "ours")
    back = torch.load(tmp_path / "ours", weights_only=True)
    assert len(back) == 5
    for theirs, ours in zip(official, back, strict=False):
        assert all(
            torch.equal(one, other) and one.dtype == other.dtype for one, other in zip(theirs, ours, strict=True)
        )


def test_imported_masks_are_a_neuron_table_with_its_summary(tmp_path, golden):
    indices, paths, members = imported(tmp_path, golden), [], {}
    for module in SHAPES:
        members[module] = np.stack([golden[f"mask10/{domain}/{module}"] for domain in DOMAINS]).astype(bool)
        masks.write(members[module], tmp_path / f"llava-{module}")
        paths.append(str(tmp_path / f"llava-{module}"))
    neurons, summary = masks.neurons_from_files(paths, indices, DOMAINS, "llava_next")
    for module, shape in SHAPES.items():
        assert (masks.members_of(neurons, module, DOMAINS, shape) == members[module]).all()
        assert list(summary[module]["members"].values()) == members[module].sum(axis=(1, 2)).tolist()
    assert summary["vision"]["effective"]["ad"] == members["vision"][0, :2].sum()
    assert summary["lang"]["threshold"] is None
    first = neurons.row(0, named=True)
    fired, seen = golden["final/med/lang_count"], golden["final/med/lang_tokens"]
    assert first["p_med"] == pytest.approx(fired[first["layer"], first["index"]] / seen)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"a": 1}, "no list of at most 5"),
        ([[torch.tensor([0])] * 2] * 6, "no list of at most 5"),
        ([[torch.tensor([0])]], "2 layers"),
        ([[torch.tensor([0]), torch.tensor([7])]], "unit 7 of 7"),
        ([[torch.tensor([-1, 3]), torch.tensor([0])]], "unit -1 of 7"),
        ([[torch.tensor([1, 1]), torch.tensor([0])]], "different unit numbers"),
        ([[torch.tensor([0.5]), torch.tensor([0])]], "different unit numbers"),
        ([["a", "b"]], "different unit numbers"),
    ],
)
def test_masks_that_do_not_fit_the_module_are_refused(tmp_path, found, words):
    torch.save(found, tmp_path / "llava-lang")
    with pytest.raises(VlmscopeError, match=words):
        masks.read(tmp_path / "llava-lang", 5, (2, 7))


# ---- answers -----------------------------------------------------------------------------------------------------

KINDS = {base.load(kind).DOMAIN: kind for kind in base.kinds()}
FOLDERS = {"com": "vqav2"}


def split_of(domain):
    module = base.load(KINDS[domain])
    split = json.loads((GOLDEN / "loaders.json").read_text())
    name = next(key.split("/")[1] for key in split if key.startswith(f"{domain}/") and "train" not in key)
    return list(module.read(GOLDEN / "benchs" / FOLDERS.get(domain, domain), name, name=domain))


def released_answers(samples, as_list=True):
    return [
        {"ground_truth": json.loads(one.answer), "index": one.index, "answer": [f"<{n}>"] if as_list else f"<{n}>"}
        for n, one in enumerate(samples)
    ]


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("family", ["llava_next", "instructblip"])
def test_answers_come_in_and_go_out_alike(tmp_path, domain, family):
    samples = split_of(domain)
    official = released_answers(samples, family == "llava_next")
    torch.save(official, tmp_path / "a.pt")
    read = answers.read(tmp_path / "a.pt", "none", samples)
    assert read["prediction"].to_list() == [f"<{n}>" for n in range(len(samples))]
    assert read["group"].to_list() == [one.group for one in samples]
    answers.write(read, samples, family, tmp_path / "b.pt")
    assert torch.load(tmp_path / "b.pt", weights_only=True) == official


def test_answers_of_all_conditions_are_one_table(tmp_path):
    samples = split_of("doc")
    for name in ("llava_lang_ans.pt", "llava_vision_ans.pt"):
        torch.save(released_answers(samples), tmp_path / name)
    paths = sorted(map(str, tmp_path.glob("*.pt")))
    found = answers.from_files(paths, ["lang", "vision"], samples)
    assert found.schema == pl.Schema(ANSWERS)
    assert found["condition"].unique(maintain_order=True).to_list() == ["lang", "vision"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows + rows[:1], "twice"),
        (lambda rows: [rows[0] | {"index": 10**6}], "does not have"),
        (lambda rows: [rows[0] | {"index": "0"}], "does not have"),
        (lambda rows: [rows[0] | {"ground_truth": ["other"]}], "another correct answer"),
        (lambda rows: [rows[0] | {"answer": ["a", "b"]}], "no text"),
        (lambda rows: [rows[0] | {"answer": 3}], "no text"),
        (lambda rows: [{"index": 0}], "no list of tables"),
        (lambda rows: {"rows": rows}, "no list of tables"),
    ],
)
def test_answers_to_other_questions_are_refused(tmp_path, change, words):
    samples = split_of("doc")
    torch.save(change(released_answers(samples)), tmp_path / "a.pt")
    with pytest.raises(VlmscopeError, match=words):
        answers.read(tmp_path / "a.pt", "none", samples)
