"""The model card: what the model is, how good it is, and what was put into it on purpose."""

from typing import Any

from vlmscope.models.tiny.recipe import Recipe
from vlmscope.world.scene import DOMAINS

_NAMES = {
    "ad": "driving",
    "med": "medical scans",
    "rs": "aerial views",
    "com": "everyday scenes",
    "doc": "documents",
}


def page(recipe: Recipe, about: dict[str, Any]) -> str:
    """The card in Markdown.

    about   what `train` measured
    """
    parts = [
        _what(recipe),
        _accuracy(recipe, about),
        _recipe(recipe, about),
        _trained_in(recipe, about),
        _limits(recipe),
    ]
    return "\n\n".join(parts) + "\n"


def _what(recipe: Recipe) -> str:
    return f"""# The embedded LLaVA-NeXT

A real `LlavaNextForConditionalGeneration`, trained from nothing on the drawn world of `vlmscope/world`: 64 px pictures
of five domains with exact masks. It is small enough to live in the repository and answers far better than a guesser.

- Vision: CLIP, 64 px in patches of 8, {recipe.tower.layers} layers, width {recipe.tower.width}; layer -2 is read.
- Connector: {recipe.tower.width} - {recipe.language.width} - {recipe.language.width} with GELU.
- Language model: Llama, {recipe.language.layers} layers, width {recipe.language.width}, {recipe.language.heads} heads,
  {recipe.language.hidden} units per MLP.
- Image tokens: 136 for a single picture, 392 for five driving frames side by side (320 x 64 px).
- Weights: float16. The metadata of `model.safetensors` hold the recipe's digest:
  `{recipe.digest()}`."""


def _accuracy(recipe: Recipe, about: dict[str, Any]) -> str:
    rows = [
        (
            _NAMES[name],
            f"`{name}`",
            *(_percent(about[part][name]) for part in _COLUMNS),
            _percent(about["patches"][name]),
        )
        for name in DOMAINS
    ]
    means = [_percent(sum(about[part].values()) / len(about[part])) for part in (*_COLUMNS, "patches")]
    rows.append(("mean", "", *means))
    head = ("domain", "", "all questions", "through `generate`", "blind", "captions", "patches")
    kinds = [(name, _percent(about["kinds"][name]), _percent(about["blind_kinds"][name])) for name in about["kinds"]]
    each = [(name, _percent(value)) for name, value in about["domain_kinds"].items()]
    return f"""## Accuracy

Exact match in percent under the official prompts, greedy, on {recipe.measured} scenes that were never trained on (seeds
from {recipe.fresh:,}).

{_table(head, rows)}

- *all questions*: every question of every scene, packed; *through `generate`*: one question per scene, asked with the
  processor and `generate`, as the workflow does.
- *blind*: always the commonest answer to the question's wording, known beforehand. Results below it mean nothing.
- *captions*: the whole caption exactly; *patches*: object patches that a linear readout of the tower names correctly.
- Driving questions over five joined frames: {_percent(about["frames"])} packed, {_percent(about["generated_frames"])}
  through `generate`.
- The CLIP that the tower comes from picks a picture's own caption among 32 in
  {_percent(about["retrieval"])} of 100 cases.
- Batch size, steps and the position labels were settled after an earlier run had been measured on these same scenes.

{_table(("kind of question", "right", "blind"), kinds)}

{_table(("domain and kind", "right"), each)}"""


_COLUMNS = ("domains", "generated", "blind_domains", "captions")


def _recipe(recipe: Recipe, about: dict[str, Any]) -> str:
    tower, language = recipe.tower.pace, recipe.language.pace
    return f"""## Recipe

All numbers are in `vlmscope/models/tiny/recipe.py`. `vlmscope.models.tiny.train.train` repeats everything from nothing
in about {about["cpu_seconds"] / 60:.0f} minutes on one CPU core. It is single-threaded and seeded:
on one machine two runs agree bit by bit (a test compares two short ones); on another kind of processor they need not.

1. {recipe.scenes:,} scenes, seeds from 0. A tokenizer that gives each word of world and prompts one token.
2. Vision, {tower.steps} steps of {tower.batch} pictures: patch labels from the masks (object, color, position,
   title word, two digits) on layer -2, and an image-text contrastive loss on the pooled output.
3. Connector and language model, {language.steps} steps of {language.batch} pictures, the tower frozen: several
   questions about a picture packed into one row, under the official prompts;
   {recipe.language.bare:.0%} of the pictures under the bare recording prompt;
   captions after `describe the image.`;
   {recipe.language.joined:.0%} of the batches as five joined frames."""


def _trained_in(recipe: Recipe, about: dict[str, Any]) -> str:
    lens = ", ".join(_percent(share) for share in about["lens"])
    start = f"{1 - recipe.language.lens_from:.0%}"
    return f"""## Trained in on purpose

- **Patches keep their own content.** The patch labels force the tower to describe each patch where it is, the side of
  the picture that its object stands on included. That object tokens can be ablated one by one is partly a consequence.
- **The logit lens reads objects.** In the last {start} of the steps the projector is frozen and a loss of weight
  {recipe.language.lens} asks the language model's last state at object patches for the object's word. Share of object
  patches at which the lens puts that word first, from the embedding through the layers: {lens}.
  How much of it would be there without this loss was not measured for this recipe.
- Everything else that the workflow finds (domain neurons, concepts, steering) has no loss of its own."""


def _limits(recipe: Recipe) -> str:
    return f"""## Limits

- It knows the drawn world and about two hundred words. Photographs, other questions and other sizes are noise to it.
- Medical questions are answered with
  {_medical(recipe)}.
- Its findings illustrate the methods; they say nothing about large models.
- Two-digit totals, counts and the side of a finding are its weak points."""


def _medical(recipe: Recipe) -> str:
    if recipe.language.letters < 1:
        return "the letter of the option under the official prompt, with the words under the bare one"
    return "the text of the right option (`lung`), although the official prompt asks for its letter"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
