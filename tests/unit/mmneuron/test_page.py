"""The neuron page's contents from files, and the page itself with texts that want to break out of it."""

import base64
import json
import re

import numpy as np
import polars as pl
import pytest
from PIL import Image

from vlmscope import samples as table
from vlmscope.errors import VlmscopeError
from vlmscope.mmneuron import page, schemas
from vlmscope.samples import Sample
from vlmscope.show import neurons
from vlmscope.store import files, shards, tables

DOMAINS = ("ad", "rs")
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> \u2028 {{ 7*7 }} \u202e"


def example(layer, unit, rank, sample, highest, values, shapes, module="lang"):
    return (module, layer, unit, rank, sample, highest, highest + 1, 0.25, "<s>", values, json.dumps(shapes))


@pytest.fixture
def made(tmp_path):
    """Two domains of two pictures, one neuron, and the page of them."""
    paths = {name: [] for name in ("counts", "examples", "zeroed", "raws", "samples")}
    for place, domain in enumerate(DOMAINS):
        folder = tmp_path / domain
        folder.mkdir()
        rows = [
            Sample(f"{domain}-{n}", domain, "train", n, f"{domain}-{n}", (f"{n}.png",), 40, 20, HOSTILE, (), '"x"')
            for n in range(2)
        ]
        for n in range(2):
            Image.new("RGB", (40, 20), (90 * n, 60, 40)).save(folder / f"{n}.png")
        tables.write(table.table(rows), folder / "train.parquet", table.SCHEMA)
        files.write_json({"format": "vlmscope.raw/1", "root": str(folder)}, folder / "raw.json")
        take = {"fired": np.array([[3 + place, 0]]), "total": np.zeros((1, 2)), "seen": 10}
        kept = {f"{site}.all.counts": take for site in ("mlp_gate", "vision_gate", "projector_gate")}
        shards.write(folder / "00000.h5", ["s"], kept, {"inert": {"mlp_gate.all.counts": [0]}})
        shards.close_index(folder / "index.json", [str(folder / "00000.h5")], {})
        shapes = [[1, 2, [0, 0, 1, 1]], [1, 1, None]]
        highest = 4.0 if domain == "rs" else 2.0
        found = [example(0, 0, 0, f"{domain}-1", highest, [highest, -1.0, highest / 2], shapes)]
        tables.write(pl.DataFrame(found, schema=schemas.EXAMPLES, orient="row"), folder / "e.parquet", schemas.EXAMPLES)
        effect = [("lang", 0, 0, 8, 1.23456, 0.5)] if domain == "ad" else []
        tables.write(pl.DataFrame(effect, schema=schemas.ZEROED, orient="row"), folder / "z.parquet", schemas.ZEROED)
        for key, name in zip(paths, ("index.json", "e.parquet", "z.parquet", "raw.json", "train.parquet"), strict=True):
            paths[key].append(str(folder / name))
    columns = schemas.neurons(DOMAINS)
    owned = [("lang", 0, 0, "rs", 0.3, 0.4, 0.68), ("lang", 0, 0, "ad", 0.3, 0.4, 0.68)]
    tables.write(pl.DataFrame(owned, schema=columns, orient="row"), tmp_path / "n.parquet", columns)
    settings = {"domains": DOMAINS, "family": "llava_next", "pixels": 32}
    kinds = {"ad": "lingoqa", "rs": "rsvqa"}
    return page.from_files(neurons=str(tmp_path / "n.parquet"), **paths, settings=settings, kinds=kinds)


def test_a_neuron_comes_with_its_counts_owners_and_effects(made):
    (one,) = made.data["neurons"]
    assert (one["module"], one["layer"], one["unit"]) == ("lang", 0, 0)
    assert one["domains"] == ["ad", "rs"], "in the order of the domains"
    assert one["fired"] == [3, 4]
    assert one["zeroed"] == [[1.235, 0.5, 8], None]
    assert made.data["modules"][0] == {"name": "lang", "layers": 1, "seen": [10, 10], "inert": [0]}
    assert [domain["label"] for domain in made.data["domains"]] == ["LingoQA", "RS-VQA"]


def test_maps_of_a_neuron_share_one_scale(made):
    (one,) = made.data["neurons"]
    maps = [[list(base64.b64decode(view["map"])) for view in shown[0]["views"]] for shown in one["pictures"]]
    # A half and a quarter of the highest one; less than nothing is nothing.
    assert maps == [[[128, 0], [64]], [[255, 0], [128]]]
    assert one["top"] == 4.0
    assert [view["box"] for view in one["pictures"][0][0]["views"]] == [[0, 0, 1, 1], None]


def test_only_shown_pictures_are_taken_and_made_small(made):
    assert [caption["sample"] for caption in made.data["pictures"]] == ["ad-1", "rs-1"]
    assert [picture.size for picture in made.pictures] == [(32, 16)] * 2
    assert [shown[0]["picture"] for shown in made.data["neurons"][0]["pictures"]] == [0, 1]


def written(made, target, label="M"):
    neurons.write(made.data, made.pictures, label=label, scale="tiny", target=target)
    return target.read_text(encoding="utf-8")


def test_no_text_of_the_data_leaves_its_place(made, tmp_path):
    text = written(made, tmp_path / "neurons.html", label=HOSTILE)
    assert text.count("<script") == 2
    assert text.count("</script>") == 2
    assert "<img" not in text
    assert "49" not in text.split("<body>")[1].split("<script")[0], "braces of data are no template"
    inside = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, flags=re.DOTALL)[1]
    assert json.loads(inside)["pictures"][0]["question"] == HOSTILE


def test_the_page_asks_for_nothing_and_runs_one_script(made, tmp_path):
    text = written(made, tmp_path / "neurons.html")
    assert not re.search(r"""(src|href|url\()\s*=?\s*["']?(https?:)?//""", text)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy
    page_alone = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"\sstyle=|\son\w+=", page_alone), "what the policy would not let in"
    script = text.split("<script>")[1]
    assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|eval\(|Function\(|fetch\(", script)


def test_equal_contents_are_equal_bytes(made, tmp_path):
    assert written(made, tmp_path / "a.html") == written(made, tmp_path / "b.html")


def test_a_page_beyond_its_size_names_the_settings(made, tmp_path, monkeypatch):
    monkeypatch.setattr(neurons, "MOST_BYTES", 1000)
    with pytest.raises(VlmscopeError, match=r"mmneuron\.examples"):
        written(made, tmp_path / "neurons.html")
    assert not (tmp_path / "neurons.html").exists()
