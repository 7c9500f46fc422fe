"""The embedded tokenizers: one token per word, nothing unknown, the same in every process."""

import functools
import hashlib
import os
import subprocess
import sys

import pytest

from vlmscope.models.base import family
from vlmscope.models.tiny import measure, prompts, tokenizer
from vlmscope.models.tiny.bodies.base import body
from vlmscope.models.tiny.recipe import RECIPES
from vlmscope.world.draw import draw
from vlmscope.world.scene import DOMAINS

built = functools.cache(lambda name: tokenizer.build(body(name).special, family(name)))
BODIES = sorted({recipe.body for recipe in RECIPES.values() if recipe.language})
VICUNA = family("llava_next")


@pytest.fixture(scope="module")
def llava():
    return tokenizer.build(tokenizer.LLAMA, VICUNA)


def test_encoding_puts_the_start_token_in_front_and_clip_also_the_end_token(llava) -> None:
    assert llava("a dog")["input_ids"][0] == llava.bos_token_id
    assert llava("a dog")["input_ids"][-1] != llava.eos_token_id
    ids = tokenizer.build(tokenizer.CLIP, family("clip"))("a dog")["input_ids"]
    assert (ids[0], ids[-1]) == (llava.bos_token_id, llava.eos_token_id)


@pytest.mark.parametrize("name", BODIES)
def test_each_word_of_the_world_is_one_token_in_every_family(name: str) -> None:
    frame = body(name)
    words = built(name)
    for word in (" dog", "dog", " umbrella", " invoice", "Question", " A", " B", "lung", " yes", "yes", " 3"):
        assert len(words(word, add_special_tokens=False)["input_ids"]) == 1, word
    assert len(words(" 37", add_special_tokens=False)["input_ids"]) == 2
    for token in (*frame.special.tokens, frame.special.end):
        assert len(words(token, add_special_tokens=False)["input_ids"]) == 1, token


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("domain", DOMAINS)
def test_the_pieces_of_a_prompt_encode_as_the_whole_does(name: str, domain: str) -> None:
    frame = body(name)
    own = family(name)
    words = built(name)
    scene = draw(domain, 1)
    for prompt, answer in (*measure.official(own, scene), *measure.plain(own, scene)):
        parts = [*prompt, prompt.reply(answer), frame.special.end]
        pieces = [ids for piece in parts for ids in words(piece, add_special_tokens=False)["input_ids"]]
        assert pieces == words("".join(parts), add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("domain", DOMAINS)
def test_prompts_survive_encoding_and_decoding(llava, domain: str) -> None:
    for seed in range(10):
        for question in draw(domain, seed).questions:
            text = prompts.official(VICUNA, domain, question).text()
            assert llava.decode(llava(text)["input_ids"]) == f"<s>{text}"


def test_unheard_text_still_encodes(llava) -> None:
    text = "Ein Zebra – 12 µm, naïve façade!"
    ids = llava(text, add_special_tokens=False)["input_ids"]
    assert llava.unk_token_id not in ids and llava.decode(ids) == text


def test_another_process_with_another_hash_seed_builds_the_same(llava) -> None:
    code = (
        "from vlmscope.models.tiny import tokenizer as t; from vlmscope.models.base import family;"
        "print(t.build(t.LLAMA, family('llava_next')).backend_tokenizer.to_str())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    ours = llava.backend_tokenizer.to_str()
    assert hashlib.sha256(told.stdout.strip().encode()).digest() == hashlib.sha256(ours.encode()).digest()


def test_the_official_prompts_are_worded_as_published() -> None:
    scene = draw("med", 0)
    question = scene.questions[0]
    text = prompts.official(VICUNA, "med", question).text()
    assert text.startswith(
        "A chat between a curious user and an artificial intelligence assistant. The assistant gives"
    )
    assert (
        f"USER: <image>\nQuestion: {question.text}\nContext: N/A\nOptions: [' A:{question.choices[0]} ', ' B:" in text
    )
    assert text.endswith(" ']\n\nAnswer with the option's letter from the given choices directly. ASSISTANT:")
    short = prompts.official(VICUNA, "rs", draw("rs", 0).questions[0]).text()
    assert short.endswith("?\nAnswer the question using a single word or phrase. ASSISTANT:")
    driving = prompts.official(VICUNA, "ad", draw("ad", 0).questions[0]).text()
    assert "USER: <image>\nRole: You are an advanced AI assistant installed on the Ego vehicle, " in driving
    assert "is not visible in the images provided. Question: " in driving
