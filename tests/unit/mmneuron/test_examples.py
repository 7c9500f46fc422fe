"""Best pictures and maps of listed neurons, against plain captures of everything."""

import numpy as np
import polars as pl
import pytest
import torch

from vlmscope import samples as table
from vlmscope.capture import batches, taps
from vlmscope.capture.run import forward
from vlmscope.mmneuron import examples, modules, schemas
from vlmscope.mmneuron.views import View, views
from vlmscope.store import files, tables

NEURONS = [("lang", 0, 3), ("lang", 2, 200), ("vision", 1, 17), ("vision", 1, 18), ("mmproj", 0, 5)]


def prompt(sample):
    return f"<image>\n{sample.question}"


def looked(shipped, asked, batch, images=3):
    samples, root = asked
    stream = batches.prefill(shipped, samples, prompt, lambda one: table.picture(one, root), batch)
    return examples.peaks(shipped, samples, stream, NEURONS, images)


@pytest.fixture(scope="module")
def alone(shipped, asked):
    """Whole activations of every listed neuron, one sample at a time."""
    samples, root = asked
    found = {}
    for place, batch in enumerate(
        batches.prefill(shipped, [one], prompt, lambda each: table.picture(each, root), 1).__next__() for one in samples
    ):
        for module, layer, unit in NEURONS:
            site = shipped.family.site(modules.sites("llava_next")[module])
            seen = {}
            with torch.inference_mode(), taps.reading(shipped, site, [layer], seen.__setitem__):
                forward(shipped, batch)
            found[module, layer, unit, place] = seen[layer][..., unit].float().flatten().numpy()
            found["ids", place] = batch.inputs["input_ids"][0].numpy()
    return found


def test_maps_are_the_activations_at_the_places_of_the_picture(shipped, asked, alone):
    samples, _ = asked
    for neuron, heap in looked(shipped, asked, batch=4, images=len(samples)).items():
        assert len(heap) == len(samples)
        for peak in heap:
            place = -peak.order
            own = alone[*neuron, place]
            stream = shipped.family.site(modules.sites("llava_next")[neuron[0]]).stream
            shown = views("llava_next", shipped.config, stream, (samples[place].width, samples[place].height))
            if stream == "text":
                token = shipped.family.image_token(shipped.config)
                own_picture = own[alone["ids", place] == token]
            else:
                own_picture = own
            expected = np.concatenate([own_picture[view.index].ravel() for view in shown])
            np.testing.assert_allclose(peak.values, expected, atol=1e-5)
            assert peak.highest == pytest.approx(expected.max(), abs=1e-5)
            assert peak.overall == pytest.approx(own.max(), abs=1e-5)
            assert peak.share == pytest.approx((own > 0).mean(), abs=0.02)


def test_pictures_come_best_first_and_do_not_depend_on_the_batch(shipped, asked):
    one, many = looked(shipped, asked, batch=1), looked(shipped, asked, batch=4)
    for neuron in NEURONS:
        assert [peak.order for peak in one[neuron]] == [peak.order for peak in many[neuron]]
        highest = [peak.highest for peak in many[neuron]]
        assert highest == sorted(highest, reverse=True)
        assert len(highest) == 3


def test_only_the_best_are_kept_and_equals_in_the_order_of_the_samples():
    peaks = examples.Peaks([("lang", 0, 0)], 2)
    for order, highest in enumerate([1.0, 3.0, 2.0, 3.0, 3.0]):
        peaks.see(order, np.array([[-1.0], [highest]], np.float32), [View(np.array([[1]]), None)], ["a", "b"])
    kept = sorted(peaks.found["lang", 0, 0], reverse=True)
    assert [(peak.highest, -peak.order, peak.place, peak.share) for peak in kept] == [
        (3.0, 1, "b", 0.5),
        (3.0, 3, "b", 0.5),
    ]


def test_words_do_not_decide_which_picture_is_best():
    peaks = examples.Peaks([("lang", 0, 0)], 1)
    peaks.see(0, np.array([[9.0], [1.0]], np.float32), [View(np.array([[1]]), None)], ["<s>", "picture"])
    peaks.see(1, np.array([[9.0], [2.0]], np.float32), [View(np.array([[1]]), None)], ["<s>", "picture"])
    (best,) = peaks.found["lang", 0, 0]
    assert (best.highest, best.overall, best.place, -best.order) == (2.0, 9.0, "<s>", 1)


def neurons_of(*rows):
    head = [(module, layer, index, domain, *[0.1] * 2, entropy) for module, layer, index, domain, entropy in rows]
    return pl.DataFrame(head, schema=schemas.neurons(("ad", "rs")), orient="row")


def test_shown_are_those_of_lowest_entropy_of_each_module_and_domain():
    found = neurons_of(
        ("lang", 1, 5, "ad", 0.5), ("lang", 0, 7, "ad", 0.2), ("lang", 0, 8, "ad", 0.2), ("lang", 0, 9, "ad", 0.1),
        ("lang", 0, 7, "rs", 0.2), ("vision", 0, 1, "rs", 1.0),
    )  # fmt: skip
    assert examples.chosen(found, 2) == [("lang", 0, 7), ("lang", 0, 9), ("vision", 0, 1)]
    assert examples.chosen(found.head(0), 2) == []


def test_every_picture_is_asked_about_once(asked):
    samples, _ = asked
    assert examples.once_per_picture([*samples, *samples]) == list(samples)


def test_files_hold_examples_and_effects_of_the_chosen_neurons(shipped, asked, tmp_path):
    samples, root = asked
    tables.write(table.table(samples), tmp_path / "val.parquet", table.SCHEMA)
    found = neurons_of(("lang", 0, 3, "ad", 0.2), ("vision", 3, 4, "rs", 0.2), ("mmproj", 0, 5, "rs", 0.1))
    tables.write(found, tmp_path / "neurons.parquet", schemas.neurons(("ad", "rs")))
    manifest = {"format": "vlmscope.raw/1", "root": str(root)}
    files.write_json(manifest, tmp_path / "raw.json")
    settings = {
        "prompt": "simple",
        "domains": ["ad", "rs"],
        **{"neurons": 2, "samples": 5, "images": 2, "zeroed": 3},
    }
    given = {
        "raws": [str(tmp_path / "raw.json")] * 2,
        "samples": [str(tmp_path / "val.parquet")] * 2,
        "neurons": str(tmp_path / "neurons.parquet"),
        "portion": {"ad": "docvqa", "rs": "docvqa"},
    }
    (shown, effects), again = examples.from_files(shipped, **given, settings=settings, batch=2)
    assert again[0].equals(shown), "the same files under another name"
    assert shown.schema == pl.Schema(schemas.EXAMPLES)
    assert effects.schema == pl.Schema(schemas.ZEROED)
    assert shown.height == 3 * 2
    assert effects["n"].to_list() == [3, 3, 3]
    moved = dict(zip(effects["module"], effects["deviation"], strict=True))
    # The last layer of the tower is read by nothing.
    assert moved["vision"] == 0
    assert moved["lang"] > 0
    assert moved["mmproj"] > 0
    settings["zeroed"] = 0
    (_, none), _ = examples.from_files(shipped, **given, settings=settings, batch=2)
    assert none.is_empty()
