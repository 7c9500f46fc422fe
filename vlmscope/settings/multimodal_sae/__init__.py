"""Settings of system 4, sparse autoencoders."""

from typing import Any

from pydantic import Field

from vlmscope.settings.base import Reference, Section
from vlmscope.settings.multimodal_sae.attribution import Attribution
from vlmscope.settings.multimodal_sae.beyond import Beyond
from vlmscope.settings.multimodal_sae.cache import Cache, Joined
from vlmscope.settings.multimodal_sae.explain import Explain
from vlmscope.settings.multimodal_sae.explain_texts import ExplainTexts
from vlmscope.settings.multimodal_sae.figures import Figures
from vlmscope.settings.multimodal_sae.probe import Probe
from vlmscope.settings.multimodal_sae.quality import Quality
from vlmscope.settings.multimodal_sae.show import Show, Texts
from vlmscope.settings.multimodal_sae.steer import Steer
from vlmscope.settings.multimodal_sae.tables import Downstream, Hallusion, Small, White
from vlmscope.settings.multimodal_sae.train import Train

__all__ = ["CAPTURES", "DEFAULT", "MultimodalSAE", "names", "problems"]


class MultimodalSAE(Section):
    """System 4."""

    site: str = Field(
        "resid_post[1]",
        pattern=r"^(resid_post|mlp_out|attn_out)\[\d+\]$",
        description="states that are taken apart, of one layer; resid_post[24] as published",
    )
    train: Train = Field(Train(), description="training of the autoencoder")
    quality: Quality = Field(Quality(), description="its quality on held-out pictures")
    cache: Cache = Field(Cache(), description="active latents of pictures")
    joined: Joined = Field(Joined(), description="pictures of several datasets in one")
    steer: Steer = Field(Steer(), description="answers with latents held")
    explain: Explain = Field(Explain(), description="names for latents, and their scores")
    explain_texts: ExplainTexts = Field(ExplainTexts(), description="names for latents by texts, and their ratings")
    attribution: Attribution = Field(Attribution(), description="latents that answers rest on")
    probe: Probe = Field(Probe(), description="latents that stand out in single pictures")
    texts: Texts = Field(Texts(), description="texts in which latents are looked at")
    show: Show = Field(Show(), description="pages to look at latents")
    downstream: Downstream = Field(Downstream(), description="right answers with the autoencoder in the loop")
    white: White = Field(White(), description="answers about a white picture with named latents held")
    hallusion: Hallusion = Field(Hallusion(), description="wrong answers under changed latents")
    small: Small = Field(Small(), description="small autoencoders of several layers and models")
    figures: Figures = Field(Figures(), description="figures, cards and overlays of latents")
    beyond: Beyond = Field(Beyond(), description="seeds, duplicates, families, other directions")


def names(config: Any) -> list[Reference]:
    """References to the catalogues."""
    own = config.multimodal_sae
    wanted: list[Reference] = [
        ("run.multimodal_sae", name, config.models, "models") for name in config.run.multimodal_sae
    ]
    wanted += [("multimodal_sae.train.capture", own.train.capture, config.captures, "captures")]
    wanted += [("multimodal_sae.cache.data", name, config.datasets, "datasets") for name in own.cache.data]
    said = own.explain_texts.data
    wanted += [("multimodal_sae.explain_texts.data", name, config.datasets, "datasets") for name in said]
    wanted += [("multimodal_sae.joined.parts", one.data, config.datasets, "datasets") for one in own.joined.parts]
    for key, one in (("attribution", own.attribution), ("probe", own.probe), ("texts", own.texts)):
        wanted.append((f"multimodal_sae.{key}.data", one.data, config.datasets, "datasets"))
    wanted += [
        (f"multimodal_sae.steer.{key}", getattr(own.steer, key), config.datasets, "datasets")
        for key in ("found", "data")
    ]
    wanted += [
        ("multimodal_sae.explain.model", own.explain.model, config.models, "models"),
        ("multimodal_sae.explain.clip", own.explain.clip, config.models, "models"),
    ]
    if own.explain.segmenter == "grounded":
        for key in ("detector", "sam"):
            wanted.append((f"multimodal_sae.explain.{key}", getattr(own.explain, key), config.judges, "judges"))
    wanted += [("multimodal_sae.small.studied", one.model, config.models, "models") for one in own.small.studied]
    wanted += [("multimodal_sae.hallusion.data", own.hallusion.data, config.datasets, "datasets")]
    wanted += [("multimodal_sae.downstream.data", own.downstream.data, config.datasets, "datasets")]
    wanted += [("multimodal_sae.small.train.capture", own.small.train.capture, config.captures, "captures")]
    return [*wanted, ("multimodal_sae.quality.capture", own.quality.capture, config.captures, "captures")]


def problems(config: Any) -> list[str]:
    """What else does not hold together."""
    own, found = config.multimodal_sae, []
    capture = config.captures.get(own.train.capture)
    line = f"{{site: {own.site}, where: all, keep: values}}"
    takes = [(one.site, one.where, one.keep, bool(one.units)) for one in capture.take] if capture else []
    if config.run.multimodal_sae and own.train.stored and (own.site, "all", "values", False) not in takes:
        found.append(f"captures.{own.train.capture}.take lacks {line}, which multimodal_sae.train reads")
    if capture and capture.run == "generate" and not own.train.stored:
        found.append(
            f"multimodal_sae.train.stored: false reads prompts, but captures.{own.train.capture} writes answers"
        )
    if "server" in own.explain_texts.by and own.explain.explainer.by != "server":
        found.append("multimodal_sae.explain_texts.by: server needs multimodal_sae.explain.explainer: {by: server, ..}")
    joined = {name: one.kind for name, one in config.datasets.items() if one.source == "joined"}
    found += [
        f"datasets.{name}.source: joined has the kind sae_pictures, not {kind}"
        for name, kind in joined.items()
        if kind != "sae_pictures"
    ]
    found += [
        f"multimodal_sae.joined.parts names {one.data}, which is made of them"
        for one in own.joined.parts
        if one.data in joined
    ]
    for key, one, kinds in (
        ("downstream", own.downstream.data, ("vqav2",)),
        ("hallusion", own.hallusion.data, ("hallusion_bench", "pope")),
    ):
        if one in config.datasets and config.datasets[one].kind not in kinds:
            found.append(f"multimodal_sae.{key}.data names {one}, which is not of kind {' or '.join(kinds)}")
    if own.white.explainer not in own.explain.by:
        found.append(f"multimodal_sae.white.explainer is {own.white.explainer}, which multimodal_sae.explain.by lacks")
    studied = [one.model for one in own.small.studied]
    lacking = [name for name in config.run.multimodal_sae if name not in studied]
    found += [f"multimodal_sae.small.studied lacks {name}, a model of run.multimodal_sae" for name in lacking]
    if own.train.seed in own.beyond.stability.seeds:
        found.append(f"multimodal_sae.beyond.stability.seeds has {own.train.seed}, the seed of multimodal_sae.train")
    return found


_STATES = {"data": ["com", "sbu"], "prompt": "chat"}
_DRAWN = {"scenes": {"train": 240}, "limit": {"train": 240}}
DATASETS: dict[str, Any] = {
    "chats": {"kind": "llava_next_data", "splits": {"train": "train"}, **_DRAWN},
    "pictures": {"kind": "sae_pictures", "splits": {"train": "cache"}, **_DRAWN},
    "joined": {"kind": "sae_pictures", "source": "joined", "splits": {"train": "cache"}, "limit": {"train": 1000}},
    "hallusion": {
        "kind": "hallusion_bench",
        "splits": {"train": "VS", "val": "VD"},
        "scenes": {"train": 40, "val": 160},
        "limit": {"train": 160, "val": 640},
    },
}
CAPTURES: dict[str, Any] = {
    "states": {**_STATES, "samples": 240, "take": [{"site": "resid_post[1]", "where": "all", "keep": "values"}]},
    "talks": {
        "data": ["chats"],
        "prompt": "talk",
        "samples": 240,
        "take": [{"site": "resid_post[1]", "where": "all", "keep": "values"}],
    },
    "states_val": {
        **_STATES,
        "split": "val",
        "samples": 240,
        "take": [{"site": "resid_post[1]", "where": "all", "keep": "values"}],
    },
}
# What drawn scenes are told to have; the drawn words for colours, things and places.
WORDS = ["red", "blue", "yellow", "white", "black", "purple", "cat", "bird", "room", "beach", "park"]
DEFAULT: dict[str, Any] = {"steer": {"words": WORDS}}
