"""The model card: what the model is, how good it is, and what was put into it on purpose."""

import json
from pathlib import Path
from typing import Any

from vlmscope.models.base import family
from vlmscope.models.tiny.bodies.base import body
from vlmscope.models.tiny.recipe import RECIPES, Recipe
from vlmscope.world.scene import DOMAINS

_NAMES = {
    "ad": "driving",
    "med": "medical scans",
    "rs": "aerial views",
    "com": "everyday scenes",
    "doc": "documents",
}
_MEANS = ("domains", "unseen", "generated", "plain", "blind_domains", "captions")
_COLUMNS = {
    "domains": "all questions",
    "unseen": "unseen",
    "generated": "through `generate`",
    "plain": "plain prompt",
    "blind_domains": "blind",
    "captions": "captions",
    "patches": "patches",
}


def page(name: str, recipe: Recipe, about: dict[str, Any]) -> str:
    """The card in Markdown.

    about   what `train` measured
    """
    parts = [_what(name, recipe, about), _accuracy(recipe, about), _training(name, recipe, about)]
    parts += [_trained_in(recipe, about), _LIMITS]
    return "\n\n".join(parts) + "\n"


def reprint(weights: Path) -> list[Path]:
    """Cards and overview of the shipped models, written anew from what was measured; the files."""
    told = {path.parent.name: path for path in sorted(weights.glob("*/measured.json"))}
    pages = {
        path.with_name("README.md"): page(name, RECIPES[name], json.loads(path.read_text(encoding="utf-8")))
        for name, path in told.items()
    }
    told |= {path.stem: path for path in sorted(weights.glob("seeds/*.json"))}
    measured = {name: json.loads(path.read_text(encoding="utf-8")) for name, path in told.items()}
    pages[weights / "README.md"] = overview(measured)
    for path, text in pages.items():
        path.write_text(text, encoding="utf-8")
    return list(pages)


def overview(told: dict[str, dict[str, Any]]) -> str:
    """All embedded models side by side, in Markdown.

    told   what `train` measured, by recipe
    """
    spoken = {name: one for name, one in told.items() if "domains" in one}
    rows = []
    for name, one in sorted(spoken.items()):
        right = [one["domains"][domain] for domain in DOMAINS]
        means = [_mean(one[part]) for part in _MEANS]
        rows.append((f"`{name}`", *map(_percent, (*right, *means)), f"{one['cpu_seconds'] / 60:.0f}"))
    short = ("mean", "unseen", "`generate`", "plain", "blind", "captions", "min")
    head = ("model", *(_NAMES[domain] for domain in DOMAINS), *short)
    pairs = [
        (f"`{name}`", _percent(one["retrieval"]), _percent(one["unseen_retrieval"]))
        for name, one in sorted(told.items())
        if "retrieval" in one
    ]
    return f"""# The embedded models

Trained from nothing on the drawn world; each folder has a card of its own. Exact match in percent on scenes that were
never trained on, official prompts, every question; *mean* over the domains, then the means of: other scenes, *unseen*
when the recipes were chosen (the first ones were looked at for that), one question per scene through `generate`, the
question alone in the chat template, a blind guesser, whole captions. *min*: minutes of training on one core, without a
borrowed tower or decoder. Models named after a seed are not shipped (`snakemake
results/models/NAME/trained/model.safetensors` makes them): they show how far results depend on the run.

{_table(head, rows)}

CLIP picks a picture's own caption among 32:

{_table(("model", "right", "unseen"), pairs)}
"""


def _what(name: str, recipe: Recipe, about: dict[str, Any]) -> str:
    frame = body(recipe.body)
    tower = recipe.tower
    lines = [
        f"# The embedded {name}",
        "",
        f"A real `{family(frame.family).model_class.rpartition('.')[2]}`, trained from nothing on the drawn world of",
        "`vlmscope/world`: 64 px pictures of five domains with exact masks. It is small enough to live in the",
        "repository and " + ("answers far better than a guesser." if recipe.language else "tells captions apart."),
        "",
        frame.about,
        f"- Vision tower: {tower.layers} layers, width {tower.width}, {tower.hidden} units per MLP.",
    ]
    if recipe.language:
        told = recipe.language
        lines.append(f"- Decoder: {told.layers} layers, width {told.width}, {told.hidden} units per MLP.")
    lines += [
        f"- {about['parameters']:,} parameters in float16. The metadata of `model.safetensors` hold the recipe's",
        f"  digest: `{recipe.digest()}`.",
    ]
    return "\n".join(lines)


def _accuracy(recipe: Recipe, about: dict[str, Any]) -> str:
    columns = {key: label for key, label in _COLUMNS.items() if key in about}
    rows = [(_NAMES[one], f"`{one}`", *(_percent(about[key][one]) for key in columns)) for one in DOMAINS]
    rows.append(("mean", "", *(_percent(_mean(about[key])) for key in columns)))
    parts = [
        f"""## Accuracy

Exact match in percent on {recipe.measured} scenes that were never trained on (seeds from {recipe.fresh:,}).""",
        _table(("domain", "", *columns.values()), rows),
        _notes(recipe, about),
    ]
    if recipe.language:
        kinds = [(one, _percent(about["kinds"][one]), _percent(about["blind_kinds"][one])) for one in about["kinds"]]
        each = [(one, _percent(value)) for one, value in about["domain_kinds"].items()]
        parts.append(_table(("kind of question", "right", "blind"), kinds))
        parts.append(_table(("domain and kind", "right"), each))
    return "\n\n".join(parts)


def _notes(recipe: Recipe, about: dict[str, Any]) -> str:
    lines = []
    if recipe.language:
        lines += [
            "- *all questions*: every question of every scene under the official prompts, greedy, packed. Recipes were",
            "  chosen by this number; *unseen* is the same on other scenes, first looked at afterwards;",
            "  *through `generate`*: one question per scene, asked with the processor and `generate`, as the workflow",
            "  does; *plain prompt*: the question alone inside the chat template.",
            "- *blind*: always the commonest answer to the question's wording, known beforehand. Results below it mean",
            "  nothing. *captions*: the whole caption exactly.",
        ]
    lines.append("- *patches*: object patches that a linear readout of the tower names correctly.")
    if "retrieval" in about:
        lines += [
            f"- A picture's own caption is picked among 32 in {_percent(about['retrieval'])} of 100 cases; in",
            f"  {_percent(about['unseen_retrieval'])} on scenes that had no part in choosing the recipe.",
        ]
    if "frames" in about:
        lines += [
            f"- Driving questions over five joined frames: {_percent(about['frames'])} packed,",
            f"  {_percent(about['generated_frames'])} through `generate`.",
        ]
    return "\n".join(lines)


def _training(name: str, recipe: Recipe, about: dict[str, Any]) -> str:
    own = f"The vision tower is that of `{recipe.tower_of}`." if recipe.tower_of else _stage_one(recipe)
    lines = [
        "## Recipe",
        "",
        f"All numbers are in `vlmscope/models/tiny/recipe.py` under `{name}`. The rule behind",
        f"`results/models/{name}/trained/model.safetensors` repeats everything in about",
        f"{about['cpu_seconds'] / 60:.0f} minutes on one CPU core. It is single-threaded and seeded: on one machine",
        "two runs agree bit by bit (a test compares two short ones); on another kind of processor they need not.",
        "",
        f"1. {recipe.scenes:,} scenes, seeds from 0. A tokenizer that gives each word of world and prompts one token.",
        f"2. {own}",
    ]
    if recipe.language:
        told = recipe.language
        lines += [
            f"3. Connector and language model, {told.pace.steps} steps of {told.pace.batch} pictures, tower frozen:",
            f"   several questions about a picture, {1 - told.bare - told.plain:.0%} under the official prompts,",
            f"   {told.plain:.0%} alone inside the chat template, {told.bare:.0%} under the bare recording prompt;",
            "   captions after `describe the image.`"
            + (f"; {told.joined:.0%} of the batches as five joined frames." if told.joined else "."),
        ]
    return "\n".join(lines)


def _stage_one(recipe: Recipe) -> str:
    pace = recipe.tower.pace
    more = "" if recipe.language else ", and an image-text contrastive loss on the pooled output"
    return (
        f"Vision, {pace.steps} steps of {pace.batch} pictures: patch labels from the masks (object, color, position,\n"
        f"   title word, two digits) on the states that the connector reads{more}."
    )


def _trained_in(recipe: Recipe, about: dict[str, Any]) -> str:
    lines = [
        "## Trained in on purpose",
        "",
        "- **Patches keep their own content.** The patch labels force the tower to describe each patch where it is,",
        "  the side of the picture that its object stands on included. That object tokens can be ablated one by one",
        "  is partly a consequence.",
    ]
    if "lens" in about:
        told = recipe.language
        lens = ", ".join(_percent(share) for share in about["lens"])
        lines += [
            f"- **The logit lens reads objects.** In the last {1 - told.lens_from:.0%} of the steps the projector is",
            f"  frozen and a loss of weight {told.lens} asks the language model's last state at object patches for the",
            "  object's word. Share of object patches at which the lens puts that word first, from the embedding",
            f"  through the layers: {lens}. How much of it would be there without this loss was not measured.",
        ]
    lines.append("- Everything else that the workflow finds has no loss of its own.")
    return "\n".join(lines)


_LIMITS = """## Limits

- It knows the drawn world and about two hundred words. Photographs, other questions and other sizes are noise to it.
- Medical questions are answered with the text of the right option (`lung`), although the official prompt asks for its
  letter.
- Its findings illustrate the methods; they say nothing about large models."""


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _mean(shares: dict[str, float]) -> float:
    return sum(shares.values()) / len(shares)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
