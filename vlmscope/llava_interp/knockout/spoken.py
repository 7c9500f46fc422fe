"""Attention blocked while a description is written, not only for one token, from files to records (9c).

What is blocked for the last position of the prompt is blocked for everything that is written behind it too.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch

from vlmscope import sweep
from vlmscope.blocking import Block, blocked
from vlmscope.llava_interp.asking import answers, experiments, prompts
from vlmscope.llava_interp.asking.experiments import Bench, Found, Record
from vlmscope.llava_interp.asking.prompts import Asked
from vlmscope.llava_interp.asking.selection import Target
from vlmscope.llava_interp.knockout import passes, windows
from vlmscope.llava_interp.knockout.spoken_tables import SPOKEN
from vlmscope.llava_interp.knockout.windows import Intervention
from vlmscope.models import answer
from vlmscope.models.load import Loaded

# Keys and queries of the prompt; what is written is always among the queries.
GROUPS = (
    ("object_1", "last"),
    ("random_1", "last"),
    ("object_1", "question_and_last"),
    ("random_1", "question_and_last"),
)


def from_files(own: Bench, samples: str) -> Found:
    """Records `SPOKEN`, the untouched description first, and the funnel of pictures.

    settings   objects, asking, spoken, synonyms
    """
    told, model = own.told["spoken"], own.loaded
    targets, funnel = experiments.chosen(model, samples, own.told)
    part = targets[: told["images"]]
    spans = windows.windows(model.family.site("resid_post").layers(model.config))
    wanted = [Intervention(*group, span) for group in GROUPS for span in spans]
    found = experiments.gathered(own, part, lambda one: _of_picture(own, one, wanted), SPOKEN)
    return found, funnel | {"described": len(part)}


def _of_picture(own: Bench, target: Target, wanted: Sequence[Intervention]) -> Iterator[Record]:
    """Descriptions of one picture; interventions follow where its object is named at first by a way to judge."""
    asked = prompts.prepare(own.loaded, [own.ask(own.told["asking"]["describe"])], [own.picture(target.sample)], 1)[0]
    most, same = own.told["asking"]["generative_tokens"], dict.fromkeys(SPOKEN) | experiments.named(target)
    plain = prompts.write(own.loaded, [(asked, ())], None, most, 1)[0]
    yield same | {"source": "", "target": "", "window": "", "text": plain}
    if not any(answers.mentions(plain, target.name, mode, own.told["synonyms"]) for mode in experiments.MODES):
        return
    grid = prompts.view(own.loaded).grid
    keys = passes.keys(target.patches, asked, grid, own.told["spoken"]["seed"], target.image_id)
    for start in range(0, len(wanted), own.batch):
        part = wanted[start : start + own.batch]
        for one, text in zip(
            part, written(own.loaded, asked, part, keys, passes.queries(asked, grid), most), strict=True
        ):
            place = {"source": one.source, "target": one.target, "window": one.window.name}
            place |= {"layer_first": one.window.first, "layer_last": one.window.last}
            yield same | place | {"keys": len(keys[one.source]), "text": text}


@torch.inference_mode()
def written(
    loaded: Loaded,
    asked: Asked,
    wanted: Sequence[Intervention],
    sources: Mapping[str, Sequence[int]],
    targets: Mapping[str, Sequence[int]],
    most: int,
) -> list[str]:
    """Greedy answers of one prompt, a row per intervention, at most `most` tokens each."""
    tensors = prompts.padded(loaded, [(asked, ())] * len(wanted), None)
    blocks = [[Block(targets[one.target], sources[one.source], one.window.layers, written=True)] for one in wanted]
    with blocked(loaded, blocks, tensors["attention_mask"]):
        found = answer.new_tokens(loaded, tensors, most, writer=sweep.decoder(loaded))
    return [answer.text_of(loaded, one) for one in found]
