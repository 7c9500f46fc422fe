"""Autoencoders on disk: folders of the released code and its ancestors, and the layout of SAELens.

Formats in docs/formats.md. Everything is read as float32, whatever it is stored in (multimodal_sae.md 2.3).
"""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from vlmscope.errors import VlmscopeError
from vlmscope.multimodal_sae.coder import hooks
from vlmscope.multimodal_sae.coder.sae import Config, SparseCoder
from vlmscope.store import files, tensors

log = logging.getLogger(__name__)

CONFIG, WEIGHTS, LENS_WEIGHTS = "cfg.json", "sae.safetensors", "sae_weights.safetensors"
# What the released code takes where its file names nothing.
DEFAULTS = {"expansion_factor": 32, "normalize_decoder": True, "num_latents": 0, "k": 32, "multi_topk": False}


def find(root: str | Path) -> dict[str, Path]:
    """Folders of autoencoders below a root, by site."""
    folders = sorted(path.parent for path in Path(root).glob(f"*/{CONFIG}"))
    return {hooks.site_of(folder.name): folder for folder in folders if hooks.LAYER.fullmatch(folder.name)}


def read(folder: str | Path) -> SparseCoder:
    """The autoencoder of a folder in either layout; keys that are not known do no harm."""
    folder = Path(folder)
    told = files.read_json(folder / CONFIG)
    if not isinstance(told, dict):
        raise _wrong(folder, "cfg.json is no table")
    if (folder / LENS_WEIGHTS).is_file():
        return _filled(*_from_lens(told, _tensors(folder / LENS_WEIGHTS), folder), folder)
    found = _tensors(folder / WEIGHTS)
    if "W_dec" not in found:
        raise _wrong(folder, "there is no decoder in it")
    return _filled(_config(told, found, folder), found, folder)


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, "pt") as file:
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise VlmscopeError("The weights are not there.", where=str(path), instead="the whole folder") from None
    except (SafetensorError, OSError) as error:
        raise _wrong(path, f"the weights are damaged ({error})") from error
    kinds = {str(one.dtype).removeprefix("torch.") for one in found.values()}
    if kinds - {"float32"}:
        log.info("%s is stored in %s and used in float32.", path, ", ".join(sorted(kinds)))
    return {name: one.float() for name, one in found.items()}


def _config(told: Mapping[str, Any], found: Mapping[str, Tensor], folder: Path) -> Config:
    """What cfg.json says, checked against the weights."""
    known = {**DEFAULTS, **told}
    if known.get("signed") or known.get("transcode"):
        raise _wrong(folder, "it is signed, or writes another state than it reads")
    latents, d = found["W_dec"].shape
    wanted = known["num_latents"] or known["expansion_factor"] * known.get("d_in", d)
    if (wanted, known.get("d_in", d)) != (latents, d):
        raise _wrong(folder, f"cfg.json says {wanted} latents, the weights are {latents} x {d}")
    kind = known.get("variant") or known.get("activation", "topk")
    more = {"bandwidth": known["bandwidth"]} if "bandwidth" in known else {}
    return Config(
        d,
        latents,
        known["k"],
        kind,
        bool(known["normalize_decoder"]),
        bool(known["multi_topk"]),
        prefixes=tuple(known.get("prefixes", ())),
        skip="W_skip" in found,
        **more,
    )


def _filled(config: Config, found: Mapping[str, Tensor], folder: Path) -> SparseCoder:
    coder = SparseCoder(config, seed=None)
    wanted = {name: one.shape for name, one in coder.state_dict().items()}
    if {name: one.shape for name, one in found.items()} != wanted:
        shapes = ", ".join(f"{name} {list(shape)}" for name, shape in wanted.items())
        raise _wrong(folder, f"its weights are not {shapes}")
    coder.load_state_dict(dict(found), assign=True)
    return coder.requires_grad_(True).eval()


def _wrong(where: Path, why: str) -> VlmscopeError:
    return VlmscopeError(
        f"This is no autoencoder that can be used: {why}.",
        where=str(where),
        instead="a folder with cfg.json and sae.safetensors (docs/formats.md)",
    )


def write(coder: SparseCoder, folder: str | Path) -> None:
    """Write the folder of the released code; keys of our own stand only where a variant needs them."""
    own = coder.config
    told: dict[str, Any] = {
        "expansion_factor": DEFAULTS["expansion_factor"],
        "normalize_decoder": own.normalize,
        "num_latents": own.latents,
        "k": own.k,
        "multi_topk": own.multi_topk,
    }
    if own.variant == "groupmax":
        told["activation"] = own.variant
    elif own.variant != "topk":
        told |= {"variant": own.variant, "prefixes": list(own.prefixes), "bandwidth": own.bandwidth}
    if own.skip:
        told["skip_connection"] = True
    tensors.write({name: one.contiguous() for name, one in coder.state_dict().items()}, Path(folder) / WEIGHTS, {})
    files.write_text(json.dumps({**told, "d_in": own.d}), Path(folder) / CONFIG)


# ---- SAELens -----------------------------------------------------------------------------------------------------


def write_lens(coder: SparseCoder, folder: str | Path, about: Mapping[str, Any]) -> None:
    """Write the layout of SAELens; a batch_topk coder becomes one of thresholds.

    about   what goes into its metadata: model_name, hook_name
    """
    own, state = coder.config, coder.state_dict()
    if own.variant == "groupmax" or own.skip:
        raise VlmscopeError(f"SAELens has no autoencoder of this kind ({own.variant}).", where="multimodal_sae")
    found = {
        "W_enc": state["encoder.weight"].T.contiguous(),
        "b_enc": state["encoder.bias"],
        "W_dec": state["W_dec"],
        "b_dec": state["b_dec"],
    }
    told: dict[str, Any] = {"architecture": "topk", "k": own.k, "rescale_acts_by_decoder_norm": False}
    if own.variant in ("batch_topk", "jumprelu"):
        told = {"architecture": "jumprelu"}
        found["threshold"] = state["log_threshold"].exp() if own.variant == "jumprelu" else _just_below(coder)
    told |= {"d_in": own.d, "d_sae": own.latents, "dtype": "float32", "device": "cpu", "apply_b_dec_to_input": True}
    told |= {"normalize_activations": "none", "reshape_activations": "none", "metadata": dict(about)}
    tensors.write(found, Path(folder) / LENS_WEIGHTS, {})
    files.write_json(told, Path(folder) / CONFIG)


def _just_below(coder: SparseCoder) -> Tensor:
    """What is at our threshold is active, there only what is above."""
    below = torch.nextafter(coder.threshold, torch.tensor(-torch.inf))
    return below.clamp(min=0).expand(coder.config.latents).contiguous()


def _from_lens(told: Mapping[str, Any], found: dict[str, Tensor], folder: Path) -> tuple[Config, dict[str, Tensor]]:
    """Configuration and weights under our names."""
    kind = told.get("architecture", "standard")
    strange = told.get("normalize_activations", "none") != "none" or told.get("rescale_acts_by_decoder_norm")
    if kind not in ("topk", "jumprelu") or strange or not told.get("apply_b_dec_to_input", True):
        raise _wrong(folder, f"architecture {kind}, or states and activations are rescaled")
    if lacking := {"W_enc", "b_enc", "W_dec", "b_dec"} - set(found):
        raise _wrong(folder, f"it lacks {', '.join(sorted(lacking))}")
    latents, d = found["W_dec"].shape
    state = {"encoder.weight": found["W_enc"].T.contiguous(), "encoder.bias": found["b_enc"]}
    state |= {name: found[name] for name in ("W_dec", "b_dec")}
    if kind == "jumprelu":
        state["log_threshold"] = found["threshold"].clamp(min=torch.finfo(torch.float32).tiny).log()
    lengths = state["W_dec"].norm(dim=1)
    unit = bool((lengths - 1).abs().max() < 1e-3)
    return Config(d, latents, told.get("k", latents), kind, unit), state
