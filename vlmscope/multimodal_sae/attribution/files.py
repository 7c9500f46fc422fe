"""Attribution of answers about pictures, from files to tables and a filter."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from vlmscope import samples
from vlmscope.capture import batches
from vlmscope.errors import VlmscopeError
from vlmscope.models import inputs
from vlmscope.models.load import Loaded
from vlmscope.multimodal_sae.attribution import tables
from vlmscope.multimodal_sae.attribution.patching import Prompt
from vlmscope.multimodal_sae.attribution.tables import Found
from vlmscope.multimodal_sae.coder import checkpoint
from vlmscope.multimodal_sae.quality import loop
from vlmscope.multimodal_sae.train import states
from vlmscope.raw import read_manifest
from vlmscope.session import progress

log = logging.getLogger(__name__)
PROMPTS = "vlmscope.attribution_prompts/1"


def tokens(loaded: Loaded, tensors: Mapping[str, Any], answer: str, baseline: str) -> tuple[int, int]:
    """Numbers of answer and baseline, pieces of the vocabulary; an empty one is the most likely token that is left."""
    own = loaded.processor.tokenizer
    known = [own.get_vocab().get(one) if one else None for one in (answer, baseline)]
    if wrong := [one for one, number in zip((answer, baseline), known, strict=True) if one and number is None]:
        raise VlmscopeError(
            f"'{wrong[0]}' is no piece of the vocabulary.",
            where="multimodal_sae.attribution",
            instead="the piece as the tokenizer writes it, with its mark for a blank before it",
        )
    if None not in known:
        return known[0], known[1]
    with torch.inference_mode():
        likely = loaded.model(**tensors, logits_to_keep=1).logits[0, -1].topk(3).indices.tolist()
    free = iter([one for one in likely if one not in known])
    return tuple(next(free) if one is None else one for one in known)


def parts(loaded: Loaded, ids: torch.Tensor) -> np.ndarray:
    """Part of every position of a prompt, text [token]: image, text behind it without the template's end, other."""
    image = (ids == loaded.family.image_token(loaded.config)).cpu().numpy()
    behind = loaded.family.template.rpartition("{prompt}")[2]
    tail = len(loaded.processor.tokenizer(behind, add_special_tokens=False)["input_ids"])
    place, last = np.arange(len(image)), int(np.flatnonzero(image)[-1]) if image.any() else -1
    text = (place > last) & (place < len(image) - tail)
    return np.where(image, "image", np.where(text, "text", "other"))


def about(prompt: Prompt, settings: Mapping[str, Any]) -> tuple[list[int], dict[str, np.ndarray], np.ndarray]:
    """Latents that are looked at, attribution of the entries by mode, and the true effect of these latents.

    The latents are all active ones, or those of the largest sums with the gradient at the reconstruction.
    """
    latents, most = prompt.latents, settings["candidates"]
    first = prompt.attributed("atp", latents)
    if most and most < len(latents):
        sums = np.bincount(prompt.entries.latent.cpu().numpy(), first, prompt.coder.config.latents)
        latents = sorted(np.argsort(-np.abs(sums), kind="stable")[:most].tolist())
    modes = dict.fromkeys([settings["mode"], *settings["compared"]])
    values = {mode: prompt.attributed(mode, latents, settings["points"]) for mode in modes}
    return latents, values, prompt.off(latents)


def _each(
    loaded: Loaded, chosen: Sequence[Any], picture: Any, coder: Any, take: Any, own: Mapping[str, Any]
) -> Iterator[tuple[Found, dict[str, Any]]]:
    for one in progress(chosen, len(chosen), "pictures"):
        text = loaded.family.turn(own["question"])
        tensors = inputs.encode(loaded, [text], [picture(one)], side="left")
        pair = tokens(loaded, tensors, own["answer"], own["baseline"])
        prompt = Prompt(loaded, coder, take, tensors, *pair, refill=own["refill"], rows=own["rows"])
        latents, values, effects = about(prompt, own)
        spelled = loaded.processor.tokenizer.convert_ids_to_tokens(list(pair))
        found = Found(
            image=one.sample,
            answer=spelled[0],
            baseline=spelled[1],
            parts=parts(loaded, tensors["input_ids"][0]),
            latents=np.array(latents),
            entry_latents=prompt.entries.latent.cpu().numpy(),
            entry_tokens=prompt.entries.token.cpu().numpy(),
            values=values,
            effects=effects,
        )
        yield found, asked(loaded, found, tensors["input_ids"][0].tolist(), prompt.plain[0], own["question"])


def asked(loaded: Loaded, found: Found, ids: Sequence[int], difference: float, question: str) -> dict[str, Any]:
    """What a prompt was: its question, what is compared, D, and a piece of text and a part per token.

    Image tokens have no text; those of the first view are the first `base` of them.
    """
    texts = loaded.processor.tokenizer.convert_ids_to_tokens(list(ids))
    told = {"image": found.image, "question": question, "answer": found.answer, "baseline": found.baseline}
    shown = ["" if part == "image" else text for text, part in zip(texts, found.parts, strict=True)]
    base = loop.base_positions(loaded, int((found.parts == "image").sum()))
    return {**told, "difference": difference, "tokens": shown, "parts": found.parts.tolist(), "base": base}


def from_files(
    loaded: Loaded, *, weights: str, raw: str, table: str, settings: dict[str, Any]
) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, list[int]], dict[str, Any]]:
    """Attributions (`ATTRIBUTION`), how well the modes do (`MODES`), the filter of the best latents, and the prompts.

    weights    sae.safetensors in the autoencoder's folder
    settings   site, and multimodal_sae.attribution
    """
    own, folder = settings["attribution"], Path(weights).parent
    coder = checkpoint.read(folder).to(loaded.device).requires_grad_(False)
    loaded.model.requires_grad_(False)
    chosen = samples.read(table)[: own["pictures"]]
    take = states.take_of(loaded, settings["site"])
    each = list(_each(loaded, chosen, batches.picture_of(read_manifest(raw)["root"]), coder, take, own))
    found = [one for one, _ in each]
    rows = tables.entries(found, own["mode"], own["pool"])
    best = tables.best(rows, len(found), own["parts"], own["top_k"])
    prompts = {"format": PROMPTS, "mode": own["mode"], "prompts": [one for _, one in each]}
    return rows, tables.modes(found, own["bootstrap"], own["seed"]), {folder.name: best}, prompts
