"""Published sizes, built without weights: layers, neurons and parameters as stated, every site path resolved.

Numbers come from mmneuron.md 4, mm_neurons.md 4.1, xl_vlms.md 4, multimodal_sae.md 4 and llava_interp.md 4. Head counts
that are not stated there change no shape. The width of SigLIP's MLPs and the vocabulary of LLaVA-OneVision are not
stated either; the stated number of parameters agrees with the ones used here. CLIP has the library's sizes,
base-patch32.
"""

from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace

import pytest
import torch

from vlmscope.capture import taps
from vlmscope.models import base, load

CLIP_L = {
    "model_type": "clip_vision_model",
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "image_size": 336,
    "patch_size": 14,
}
SIGLIP = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16}
VICUNA = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "vocab_size": 32064,
}
POINTS = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]
QWEN_7B = {
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
}


@dataclass(frozen=True)
class Shape:
    """A published model.

    config      arguments of its configuration class
    sites       site -> layers, width
    parameters  as stated
    within      half of the last stated digit
    """

    config: dict
    sites: dict
    parameters: float = 0
    within: float = 0
    positions: dict = field(default_factory=dict)


PUBLISHED = {
    "llava_next": Shape(
        {"vision_config": CLIP_L, "text_config": VICUNA, "image_token_index": 32000, "image_grid_pinpoints": POINTS},
        {"mlp_gate": (32, 11008), "vision_gate": (24, 4096), "projector_gate": (1, 4096), "resid_post": (32, 4096)},
        7.063e9,
        0.0005e9,
        {(640, 480): 2885, (480, 640): 2885, (1700, 2200): 2885, (600, 400): 2885, (9600, 1080): 2308},
    ),
    "llava_next_llama3": Shape(
        {
            "vision_config": CLIP_L,
            "text_config": VICUNA | {"intermediate_size": 14336, "num_key_value_heads": 8, "vocab_size": 128320},
            "image_token_index": 128256,
            "image_grid_pinpoints": POINTS,
        },
        {"mlp_gate": (32, 14336), "vision_gate": (24, 4096), "image_embeds": (1, 4096)},
        8.355e9,
        0.0005e9,
    ),
    "llava": Shape(
        {"vision_config": CLIP_L, "text_config": VICUNA, "image_token_index": 32000},
        {"mlp_gate": (32, 11008), "vision_gate": (24, 4096), "vision_resid": (24, 1024), "final_norm": (1, 4096)},
        7_063_427_072,
        0.5,
        {(640, 480): 577},
    ),
    "llava_phi": Shape(
        {
            "vision_config": CLIP_L,
            "text_config": VICUNA | {"model_type": "phi3", "hidden_size": 3072, "intermediate_size": 8192},
            "image_token_index": 32038,
        },
        {"mlp_gate": (32, 8192), "resid_post": (32, 3072)},
        4_137_176_064,
        0.5,
    ),
    "llava_llama2": Shape(
        {
            "vision_config": CLIP_L | {"image_size": 224},
            "text_config": VICUNA
            | {
                "hidden_size": 5120,
                "intermediate_size": 13824,
                "num_hidden_layers": 40,
                "num_attention_heads": 40,
                "vocab_size": 32000,
            },
            "projector_hidden_act": "linear",
        },
        {"mlp_gate": (40, 13824), "image_embeds": (1, 5120)},
        13.35e9,
        0.005e9,
        {(640, 480): 257},
    ),
    "instructblip": Shape(
        {"text_config": VICUNA, "qformer_config": {"vocab_size": 30523}, "image_token_index": 32001},
        {
            "mlp_gate": (32, 11008),
            "vision_gate": (39, 6144),
            "vision_resid": (39, 1408),
            "qformer_gate": (12, 3072),
            "query_gate": (12, 3072),
            "qformer_out": (1, 768),
            "image_embeds": (1, 4096),
        },
        7.914e9,
        0.0005e9,
        {(640, 480): 257},
    ),
    "llava_onevision": Shape(
        {
            "vision_config": {**SIGLIP, "model_type": "siglip_vision_model", "image_size": 384, "patch_size": 14},
            "text_config": {
                "model_type": "qwen2",
                "hidden_size": 8192,
                "intermediate_size": 29568,
                "num_hidden_layers": 80,
                "num_attention_heads": 64,
                "num_key_value_heads": 8,
                "vocab_size": 152000,
            },
        },
        {"mlp_gate": (80, 29568), "resid_post": (80, 8192)},
        73.2e9,
        0.05e9,
    ),
    "idefics2": Shape(
        {
            "vision_config": {**SIGLIP, "image_size": 980, "patch_size": 14},
            "text_config": VICUNA
            | {
                "model_type": "mistral",
                "intermediate_size": 14336,
                "num_key_value_heads": 8,
                "vocab_size": 32003,
                "sliding_window": 4096,
            },
            "image_token_id": 32001,
        },
        {
            "mlp_gate": (32, 14336),
            "vision_resid": (27, 1152),
            "projector_gate": (1, 14336),
            "resampler_gate": (3, 16384),
            "image_embeds": (1, 4096),
        },
        8.40e9,
        0.005e9,
    ),
    "qwen2_vl": Shape(
        {"text_config": QWEN_7B, "vision_config": {"depth": 32, "embed_dim": 1280, "hidden_size": 3584}},
        {"mlp_gate": (28, 18944), "vision_resid": (32, 1280), "image_embeds": (1, 3584), "projector_gate": (1, 5120)},
        8.29e9,
        0.005e9,
        {(640, 480): 4 * 23 * 17},
    ),
    "qwen2_5_vl": Shape(
        {"text_config": QWEN_7B, "vision_config": {"out_hidden_size": 3584}},
        {"mlp_gate": (28, 18944), "resid_post": (28, 3584), "image_embeds": (1, 3584)},
    ),
    "clip": Shape(
        {},
        {"mlp_gate": (12, 2048), "vision_resid": (12, 768), "image_embeds": (1, 512), "text_embeds": (1, 512)},
        0.15e9,
        0.005e9,
    ),
}
# No sizes are stated for these: the library's own, where its parts fit together.
UNSTATED = {
    "idefics3": {"pad_token_id": 0},
    "internvl": {"text_config": {"model_type": "qwen2", "num_hidden_layers": 2}},
    "gemma3": {},
}
NAMES = [*PUBLISHED, *UNSTATED]


@cache
def built(name):
    """Configuration and model on the meta device."""
    load.slim_imports()
    import transformers

    model_class = load._class(transformers, base.family(name).model_class)
    config = model_class.config_class(**(PUBLISHED[name].config if name in PUBLISHED else UNSTATED[name]))
    with torch.device("meta"):
        return config, model_class(config)


@pytest.mark.parametrize("name", PUBLISHED)
def test_layers_and_neurons_are_those_of_the_publication(name):
    config, _ = built(name)
    for site, (layers, width) in PUBLISHED[name].sites.items():
        place = base.family(name).site(site)
        assert (site, place.layers(config), place.width(config)) == (site, layers, width)


@pytest.mark.parametrize("name", [name for name, shape in PUBLISHED.items() if shape.parameters])
def test_parameters_are_as_many_as_stated(name):
    _, model = built(name)
    count = sum(one.numel() for one in model.parameters())
    assert abs(count - PUBLISHED[name].parameters) <= PUBLISHED[name].within, count


@pytest.mark.parametrize("name", [name for name, shape in PUBLISHED.items() if shape.positions])
def test_vision_positions_are_those_stated(name):
    import transformers

    config, _ = built(name)
    # Just the families whose checkpoints set how pictures are cut ask their processor; the library's own settings here.
    pictures = transformers.Qwen2VLImageProcessorPil() if name == "qwen2_vl" else None
    processor = SimpleNamespace(inner=SimpleNamespace(image_processor=pictures))
    for (width, height), count in PUBLISHED[name].positions.items():
        assert base.family(name).vision_positions(config, processor, width, height) == count


@pytest.mark.parametrize("name", NAMES)
def test_every_path_of_every_layer_is_there(name):
    config, model = built(name)
    family = base.family(name)
    for site in family.sites.values():
        layers = site.layers(config)
        for layer in range(layers):
            taps.module_at(model, site.path, layer)
            if site.columns:
                columns = taps.module_at(model, site.columns, layer).weight
                assert columns.shape[1] == site.width(config)
        if "{l}" in site.path:
            with pytest.raises(AttributeError):
                taps.module_at(model, site.path, layers)
    for path in filter(None, (family.norm, family.head)):
        model.get_submodule(path)


def test_queries_and_latents_are_those_stated():
    assert built("instructblip")[1].query_tokens.shape == (1, 32, 768)
    assert built("idefics2")[1].model.connector.perceiver_resampler.latents.shape == (64, 4096)
