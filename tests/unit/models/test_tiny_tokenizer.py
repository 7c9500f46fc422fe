"""The embedded tokenizers: one token per word, nothing unknown, the same in every process."""

import hashlib
import os
import subprocess
import sys

import pytest

from vlmscope.models.tiny import prompts, tokenizer
from vlmscope.world.draw import draw
from vlmscope.world.scene import DOMAINS


@pytest.fixture(scope="module")
def llava():
    return tokenizer.llava()


def test_encoding_puts_the_start_token_in_front_and_clip_also_the_end_token(llava) -> None:
    assert llava("a dog")["input_ids"][0] == llava.bos_token_id
    assert llava("a dog")["input_ids"][-1] != llava.eos_token_id
    ids = tokenizer.clip()("a dog")["input_ids"]
    assert (ids[0], ids[-1]) == (llava.bos_token_id, llava.eos_token_id)


def test_each_word_of_the_world_is_one_token(llava) -> None:
    for word in (" dog", "dog", " umbrella", " invoice", " ASSISTANT", "Question", " A", " B", "lung", " yes", " 3"):
        assert len(llava(word, add_special_tokens=False)["input_ids"]) == 1, word
    assert len(llava(" 37", add_special_tokens=False)["input_ids"]) == 2


@pytest.mark.parametrize("domain", DOMAINS)
def test_prompts_survive_encoding_and_decoding(llava, domain: str) -> None:
    for seed in range(10):
        for question in draw(domain, seed).questions:
            text = prompts.official(domain, question).text()
            assert llava.decode(llava(text)["input_ids"]) == f"<s>{text}"


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_pieces_of_a_prompt_encode_as_the_whole_does(llava, domain: str) -> None:
    for question in draw(domain, 1).questions:
        for prompt in (prompts.official(domain, question), prompts.bare(question), prompts.caption(is_bare=False)):
            pieces = [ids for piece in prompt for ids in llava(piece, add_special_tokens=False)["input_ids"]]
            assert [llava.bos_token_id, *pieces] == llava(prompt.text())["input_ids"]


def test_unheard_text_still_encodes(llava) -> None:
    text = "Ein Zebra – 12 µm, naïve façade!"
    ids = llava(text, add_special_tokens=False)["input_ids"]
    assert llava.unk_token_id not in ids and llava.decode(ids) == text


def test_decoding_an_answer_drops_its_first_space(llava) -> None:
    assert llava.decode(llava(" a red dog</s>", add_special_tokens=False)["input_ids"][:-1]) == "a red dog"


def test_the_image_token_is_named(llava) -> None:
    assert llava.image_token == prompts.IMAGE
    assert llava.convert_tokens_to_ids(prompts.IMAGE) == llava.image_token_id


def test_another_process_builds_the_same_tokenizer(llava) -> None:
    code = "from vlmscope.models.tiny import tokenizer as t; print(t.llava().backend_tokenizer.to_str())"
    environment = {**os.environ, "PYTHONHASHSEED": "77", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
    here = hashlib.sha256(llava.backend_tokenizer.to_str().encode()).hexdigest()
    assert hashlib.sha256(done.stdout.decode().removesuffix("\n").encode()).hexdigest() == here


def test_the_official_prompts_are_worded_as_published() -> None:
    scene = draw("med", 0)
    question = scene.questions[0]
    text = prompts.official("med", question).text()
    assert text.startswith(
        "A chat between a curious user and an artificial intelligence assistant. The assistant gives"
    )
    assert (
        f"USER: <image>\nQuestion: {question.text}\nContext: N/A\nOptions: [' A:{question.choices[0]} ', ' B:" in text
    )
    assert text.endswith(" ']\n\nAnswer with the option's letter from the given choices directly. ASSISTANT:")
    assert question.choices[prompts.LETTERS.index(prompts.letter(question))] == question.answer
    short = prompts.official("rs", draw("rs", 0).questions[0]).text()
    assert short.endswith("?\nAnswer the question using a single word or phrase. ASSISTANT:")
    driving = prompts.official("ad", draw("ad", 0).questions[0]).text()
    assert "USER: <image>\nRole: You are an advanced AI assistant installed on the Ego vehicle, " in driving
    assert "is not visible in the images provided. Question: " in driving
