import pytest

from vlmscope import raw, samples
from vlmscope.datasets import base
from vlmscope.errors import VlmscopeError
from vlmscope.mmneuron import prompts
from vlmscope.models.base import family
from vlmscope.store import tables


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rs")
    raw.draw_benchmark("rsvqa", folder, {"val": "val"}, {"val": 2})
    table = samples.table(base.load("rsvqa").read(folder, "val", name="rs"))
    tables.write(table, folder / "val.parquet", samples.SCHEMA)
    return folder / "val.parquet"


def test_the_text_is_what_the_model_is_asked(drawn):
    found = prompts.from_files(
        [str(drawn)], model="llava", family_name="llava_next", domains=["rs"], kinds={"rs": "rsvqa"}
    )
    question = samples.read(drawn)[0].question
    assert found == [{"domain": "rs", "model": "llava", "text": found[0]["text"]}]
    start, _, end = family("llava_next").template.partition("{prompt}")
    asked = f"<image>\nQuestion: {question}\nAnswer the question using a single word or phrase."
    assert found[0]["text"] == start + asked + end


def test_a_domain_without_samples_is_named(drawn, tmp_path):
    tables.write(tables.read(drawn, samples.SCHEMA).head(0), tmp_path / "val.parquet", samples.SCHEMA)
    with pytest.raises(VlmscopeError, match="no sample"):
        prompts.from_files(
            [str(tmp_path / "val.parquet")], model="m", family_name="llava", domains=["rs"], kinds={"rs": "rsvqa"}
        )
