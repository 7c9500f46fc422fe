"""What decoding steps show is what one pass over prompt and answer shows, in every family that writes."""

from dataclasses import replace

import numpy as np
import pytest
import test_families

from vlmscope.capture import batches, plan, run, shard, steps
from vlmscope.models import inputs
from vlmscope.models.inputs import Batch

TAKES = [{"site": site, "where": "emitting", "keep": "values"} for site in ("mlp_gate", "mlp_hidden", "resid_post[1]")]
TAKES[2] |= {"units": [3, 7]}
NEW = 6


def prompts(bench):
    """Two batches over pictures of one size: three questions of different lengths, in another order, and one."""
    picture = test_families.picture(bench.sizes[0], 0)
    texts = [
        bench.loaded.family.template.format(prompt=f"<image>\n{test_families.question(number)}") for number in range(4)
    ]
    for rows in ((2, 0, 3), (1,)):
        tensors = inputs.encode(bench.loaded, [texts[row] for row in rows], [picture] * len(rows), "right")
        yield Batch(rows, tensors)


@pytest.fixture
def both(family):
    """What either way keeps, and the answers that each wrote."""
    bench = test_families.bench(family)
    loaded = bench.loaded
    takes = plan.resolve(TAKES, loaded.family, loaded.config, "generate")
    assert steps.suffice(takes)
    reader, noted, again = steps.Steps(loaded, takes), shard.Answers(), shard.Answers()
    first = reader.capture(noted.noted(batches.answered(loaded, prompts(bench), NEW, reader.reading)))
    second = run.capture(loaded, takes, again.noted(batches.answered(loaded, prompts(bench), NEW)))
    return first, second, noted.arrays(), again.arrays()


@test_families.every_writer
def test_steps_show_what_one_pass_shows(both):
    first, second, noted, again = both
    for one, other in zip(first, second, strict=True):
        assert one.take == other.take
        assert set(one.arrays) == set(other.arrays)
        for name in set(one.arrays) - {"values"}:
            np.testing.assert_array_equal(one.arrays[name], other.arrays[name], err_msg=name)
        scale = np.abs(other.arrays["values"]).max()
        np.testing.assert_allclose(one.arrays["values"], other.arrays["values"], atol=1e-4 * scale, rtol=0)
        assert len(one.arrays["values"]) == len(noted["tokens"]) > 0
    for name, value in noted.items():
        np.testing.assert_array_equal(value, again[name])


@pytest.mark.parametrize("family", ["llava"])
def test_an_answer_without_a_token_has_no_row(family, monkeypatch):
    bench = test_families.bench(family)
    loaded = bench.loaded
    takes = plan.resolve(TAKES, loaded.family, loaded.config, "generate")
    written = list(batches.answered(loaded, prompts(bench), NEW))
    firsts = [int(batch.inputs["input_ids"][row, start]) for batch in written for row, start in enumerate(batch.starts)]
    # The first token of the first row ends answers now: that row is empty, others go on or are cut.
    monkeypatch.setattr("vlmscope.models.answer.ends", lambda loaded: [firsts[0]])
    reader = steps.Steps(loaded, takes)
    one = reader.capture(batches.answered(loaded, prompts(bench), NEW, reader.reading))[0]
    other = run.capture(loaded, takes, batches.answered(loaded, prompts(bench), NEW))[0]
    assert written[0].rows[0] not in one.arrays["sample"]
    np.testing.assert_array_equal(one.arrays["sample"], other.arrays["sample"])
    np.testing.assert_allclose(one.arrays["values"], other.arrays["values"], atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("key", "value"), [("where", "answer"), ("where", "all"), ("keep", "counts"), ("keep", "mean")]
)
def test_takes_that_look_elsewhere_need_the_pass(key, value):
    loaded = test_families.bench("llava").loaded
    takes = plan.resolve([TAKES[0]], loaded.family, loaded.config, "generate")
    changed = [*takes, replace(takes[0], **{key: value})]
    assert steps.suffice(takes) and not steps.suffice(changed)
