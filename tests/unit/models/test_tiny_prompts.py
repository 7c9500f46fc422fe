"""The embedded model is trained on exactly the prompts that the benchmarks and the model family produce."""

import importlib

import pytest

from vlmscope.models.llava_next import VICUNA
from vlmscope.models.tiny import prompts
from vlmscope.world.draw import draw

BENCHMARKS = {
    "ad": ("lingoqa", "val"),
    "med": ("pmc_vqa", "test"),
    "rs": ("rsvqa", "test"),
    "com": ("vqav2", "val"),
    "doc": ("docvqa", "val"),
}


@pytest.mark.parametrize("domain", BENCHMARKS)
def test_prompts_equal_those_read_back_from_the_official_files(domain: str, tmp_path) -> None:
    name, split = BENCHMARKS[domain]
    benchmark = importlib.import_module(f"vlmscope.datasets.{name}")
    scene = draw(domain, 4)
    benchmark.write([scene], tmp_path, split)
    questions = {question.text: question for question in scene.questions}
    samples = list(benchmark.read(tmp_path, split, name=name))
    assert samples
    for sample in samples:
        question = questions[sample.question]
        full = VICUNA.format(prompt=benchmark.prompt(sample, "full"))
        assert full == prompts.official(domain, question).text()
        assert benchmark.prompt(sample, "simple") == prompts.bare(question).text()
