"""The embedded models are trained on exactly the prompts that the benchmarks and the model families produce."""

import importlib

import pytest

from vlmscope.models.base import family
from vlmscope.models.tiny import prompts
from vlmscope.world.draw import draw

BENCHMARKS = {
    "ad": ("lingoqa", "val"),
    "med": ("pmc_vqa", "test"),
    "rs": ("rsvqa", "test"),
    "com": ("vqav2", "val"),
    "doc": ("docvqa", "val"),
}


@pytest.mark.parametrize("name", ["llava_next", "instructblip", "llava_llama2", "llava_phi", "qwen2_vl"])
@pytest.mark.parametrize("domain", BENCHMARKS)
def test_prompts_equal_those_read_back_from_the_official_files(domain: str, name: str, tmp_path) -> None:
    kind, split = BENCHMARKS[domain]
    benchmark, own = importlib.import_module(f"vlmscope.datasets.{kind}"), family(name)
    scene = draw(domain, 4)
    benchmark.write([scene], tmp_path, split)
    questions = {question.text: question for question in scene.questions}
    samples = list(benchmark.read(tmp_path, split, name=kind))
    assert samples
    for sample in samples:
        question = questions[sample.question]
        assert own.chat(benchmark.prompt(sample, "full")) == prompts.official(own, domain, question).text()
        assert benchmark.prompt(sample, "simple") == prompts.plain(prompts.BARE, question).text()


def test_an_answer_follows_a_space_unless_the_prompt_ends_with_a_line() -> None:
    question = draw("com", 1).questions[0]
    assert prompts.plain("USER: {prompt} ASSISTANT:", question).reply("dog") == " dog"
    assert prompts.plain("user\n{prompt}<|im_end|>\nassistant\n", question).reply("dog") == "dog"
