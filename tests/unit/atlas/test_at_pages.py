"""The page of words: what it shows, in a browser too, and texts that want out of it."""

import base64
import json
import re
from urllib.parse import quote

import numpy as np
import pytest
from at_page_results import HOSTILE, SETTINGS, make
from browser import browsed, needs_browser

from vlmscope.atlas import page
from vlmscope.errors import VlmscopeError
from vlmscope.show import joint_page

WORDS = {"dog": "dog", "other": HOSTILE}
UNSTEERED = '<p class="faint">Not steered to (atlas.steer.words'


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    paths = make(tmp_path_factory.mktemp("results"))
    return page.from_files(paths=paths, dictionaries={}, words=WORDS, settings=SETTINGS)


@pytest.fixture(scope="module")
def written(found, tmp_path_factory):
    target = tmp_path_factory.mktemp("page") / "index.html"
    joint_page.write(*found, label=HOSTILE, scale="tiny", pixels=32, target=target)
    return target


def test_every_word_has_its_own_rows_and_all_of_them_one_item(found):
    data, pictures = found
    assert [one["word"] for one in data["items"]] == ["all", "dog", HOSTILE]
    whole, dog, other = data["items"]
    assert len(pictures) == 2 and dog["pictures"] == [0, 1] and whole["pictures"] == other["pictures"] == []
    assert dog["answers"] == [[0.9, 0.1, 0.8, 0.2, 0.7]] * 2
    assert {len(row) for row in dog["changes"]} == {len(data["columns"]["changes"])}
    belongs = data["columns"]["changes"].index("belongs")
    assert {row[belongs] for row in whole["changes"]} == {"own", "other"}
    assert {row[belongs] for row in dog["changes"]} == {"own"}
    assert dog["lens"] == [[0, 0.0, 0.25, 1], [1, 0.5, 0.25, 1]] and other["lens"] == []
    assert dog["neurons"] == [["L0.u1", 1, 0.5, 0.25, ["dog", HOSTILE], ["med"]]]


def test_maps_are_bytes_up_to_the_highest_value_with_how_well_they_tell_the_object(found):
    one = found[0]["maps"][0]
    text, most, area = one["concept"]
    assert np.frombuffer(base64.b64decode(text), np.uint8).tolist() == [255, 128, 0, 0] and (most, area) == (1, 1)
    assert one["latents"][1:] == [3, pytest.approx(1 / 3)] and one["latent"] == 7
    assert [layer[1] for layer in one["lens"]] == [1, 1] and found[0]["grid"] == 2


def test_the_page_lets_nothing_out(written):
    text = written.read_text(encoding="utf-8")
    assert HOSTILE not in text and len(re.findall("<script", text)) == 2
    assert json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])["items"][2]["word"] == HOSTILE
    assert not re.search(r"(src|href)=.https?:", text)


def test_a_page_that_grew_too_large_says_what_to_do(found, tmp_path, monkeypatch):
    monkeypatch.setattr(joint_page, "MOST_BYTES", 1000)
    with pytest.raises(VlmscopeError, match=r"more than 1000") as caught:
        joint_page.write(*found, label="M", scale="tiny", pixels=32, target=tmp_path / "a.html")
    assert "atlas.show" in caught.value.instead and not (tmp_path / "a.html").exists()


@needs_browser
def test_a_word_is_shown_in_a_browser(written, tmp_path):
    seen = browsed(written, tmp_path, at="#dog")
    assert "<title>out" not in seen and re.search(r"<h2>dog</h2>", seen)
    assert seen.count('class="through"') == 2 and seen.count("<canvas") == 2 * 9
    for text in ("The same pictures through all systems", "Steering to it", "L0.u1", "object's tokens replaced"):
        assert text in seen, text
    assert 'aria-selected="true"' in seen
    assert UNSTEERED not in seen
    whole = browsed(written, tmp_path, at="#all")
    assert "<h2>all words</h2>" in whole and 'class="through"' not in whole and "<polyline" in whole


@needs_browser
def test_a_word_that_was_not_steered_to_says_so(written, tmp_path):
    assert UNSTEERED in browsed(written, tmp_path, at=f"#{quote(HOSTILE)}")
