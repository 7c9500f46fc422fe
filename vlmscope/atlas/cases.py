"""Pictures that do not show a word, and what is asked about them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from vlmscope.llava_interp.asking import prompts, tokens
from vlmscope.llava_interp.asking.experiments import Bench
from vlmscope.llava_interp.asking.prompts import Asked
from vlmscope.llava_interp.asking.selection import Target


@dataclass(frozen=True)
class Case:
    """A picture that does not show the word, and what is asked about it.

    question, there, absent   prompts: the picture's own question, after an object of it, after one that is not there
    """

    target: Target
    question: Asked
    there: Asked
    absent: Asked

    @property
    def sample(self) -> str:
        """The picture."""
        return self.target.sample.sample

    @property
    def word(self) -> str:
        """The right answer to its own question."""
        return self.target.name.lower()


def shows(target: Target) -> set[str]:
    """Classes of all objects of a picture."""
    return {one["class"].lower() for one in json.loads(target.sample.answer)["objects"]}


def cases(bench: Bench, targets: Sequence[Target], words: Sequence[str], word: str, most: int, seed: int) -> list[Case]:
    """The first pictures with a question that another of the words answers, and without the word, ready to be asked."""
    known = [one for one in targets if one.sample.question and one.name.lower() in words]
    fitting = [one for one in known if word not in shows(one)][:most]
    classes = sorted({one.name.lower() for one in targets})
    texts, pictures = [], []
    for one in fitting:
        absent = tokens.seeded(seed, one.image_id, "absent", word).choice(
            [name for name in classes if name != word and name not in shows(one)]
        )
        poll = bench.told["asking"]["poll"]
        begin = prompts.begun(bench.told["asking"]["begin"], one.name)
        texts.append(bench.ask(one.sample.question, begin))
        texts += [bench.ask(poll.replace("{class}", name)) for name in (one.name, absent)]
        pictures += [bench.picture(one.sample)] * 3
    asked = prompts.prepare(bench.loaded, texts, pictures, bench.batch)
    return [Case(one, *asked[3 * place : 3 * place + 3]) for place, one in enumerate(fitting)]
