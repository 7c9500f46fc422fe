"""From a sample table to batches: which samples a capture takes, which of them a shard holds, tensors for the model."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from PIL import Image

from vlmscope.models import inputs
from vlmscope.models.base import Family, ModelConfig
from vlmscope.models.load import Loaded
from vlmscope.samples import Sample


def within_budget(
    samples: Sequence[Sample], family: Family, config: ModelConfig, most: int, vision_positions: int
) -> list[Sample]:
    """The first samples up to `most`, or up to the one that reaches the budget of vision positions.

    The released code stops at 100,000 positions, 35 pictures of five tiles (mmneuron.md 2.2). The sample that
    reaches the budget counts [differs: mmneuron.md 8 #5].
    """
    chosen, positions = [], 0
    for sample in samples[:most]:
        chosen.append(sample)
        positions += family.vision_positions(config, sample.width, sample.height)
        if vision_positions and positions >= vision_positions:
            break
    return chosen


def of_shard(samples: Sequence[Sample], shard: int, shards: int) -> list[Sample]:
    """Part number `shard` of nearly equal consecutive parts."""
    bounds = [len(samples) * place // shards for place in (shard, shard + 1)]
    return list(samples[bounds[0] : bounds[1]])


def prefill(
    loaded: Loaded,
    samples: Sequence[Sample],
    prompt: Callable[[Sample], str],
    picture: Callable[[Sample], Image.Image],
    batch: int,
) -> Iterator[inputs.Batch]:
    """Right-padded batches of similar length, longest first."""
    texts = [prompt(sample) for sample in samples]
    for rows in inputs.by_length([len(text) for text in texts], batch):
        pictures = [picture(samples[row]) for row in rows]
        tensors = inputs.encode(loaded, [texts[row] for row in rows], pictures, side="right")
        yield inputs.Batch(rows, tensors)


def picture_of(root: str | Path) -> Callable[[Sample], Image.Image]:
    """A reader of pictures below a dataset's folder."""
    from vlmscope.samples import picture

    return lambda sample: picture(sample, Path(root))
