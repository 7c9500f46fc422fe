"""Small releases written as their authors do it: pickled shards, official names, official configuration files."""

import hashlib
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

from vlmscope.models.load import slim_imports

HERE = Path(__file__).parent / "convert_files"
PIECES = 640
TEXT = {
    "vocab_size": PIECES,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 512,
    "initializer_range": 0.2,
    "rms_norm_eps": 1e-5,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
VISION = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
    "projection_dim": 12,
    "initializer_range": 0.4,
}
# As written by the library in 2022.
PICTURES = {
    "crop_size": 28,
    "do_center_crop": True,
    "do_normalize": True,
    "do_resize": True,
    "feature_extractor_type": "CLIPFeatureExtractor",
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "resample": 3,
    "size": 28,
}


def write_json(value, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def write_shards(tensors, folder: Path, count: int) -> None:
    """Shards and their index; the numbers are those of the released files."""
    names = [f"pytorch_model-{number:05d}-of-{count:05d}.bin" for number in range(1, count + 1)]
    places = {name: names[place * count // len(tensors)] for place, name in enumerate(tensors)}
    for shard in names:
        torch.save({name: value for name, value in tensors.items() if places[name] == shard}, folder / shard)
    write_json({"metadata": {"total_size": 0}, "weight_map": places}, folder / "pytorch_model.bin.index.json")


def record(folder: Path, beside=()) -> Path:
    """The manifest of a download (`hub.json`)."""

    def measured(where):
        files = sorted(path for path in where.glob("*") if path.is_file())
        return {path.name: {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()} for path in files}

    others = {name: {"files": measured(folder / name)} for name in beside}
    about = {"folder": str(folder), "checkpoint": "authors/model", "revision": "main", "commit": "c" * 40}
    write_json(about | {"files": measured(folder), "beside": others}, folder.parent / "hub.json")
    return folder.parent / "hub.json"


def random(model_class, config):
    """A model whose biases and constants are random too."""
    torch.manual_seed(5)
    model = model_class(config).eval().requires_grad_(False)
    for value in model.parameters():
        value.normal_(0.05, 0.2)
    return model


def llava(folder: Path, *, tower: str = "beside", projector: str = "shards", drop=(), add=()):
    """The model behind the release, whose projector has one matrix; LLaVA 1.0.2 names, the tower apart or not."""
    slim_imports()
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    folder.mkdir(parents=True)
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**VISION), text_config=LlamaConfig(**TEXT), projector_hidden_act="linear"
    )
    model = random(LlavaForConditionalGeneration, config)
    second = model.model.multi_modal_projector.linear_2
    second.weight.copy_(torch.eye(24))
    second.bias.zero_()
    ours = model.state_dict()
    seen = {
        name.replace("model.vision_tower.", "vision_model."): value for name, value in ours.items() if "tower" in name
    }
    matrix = {
        name.replace("multi_modal_projector.linear_1", "mm_projector"): value
        for name, value in ours.items()
        if "linear_1" in name
    }
    written = {
        name.replace("language_model.", ""): value
        for name, value in ours.items()
        if name.startswith(("model.language_model.", "lm_head"))
    }
    written |= {f"model.layers.{layer}.self_attn.rotary_emb.inv_freq": torch.ones(3) for layer in range(2)}
    written |= matrix if projector == "shards" else {}
    if tower == "shards":
        written |= {f"model.vision_tower.vision_tower.{name}": value for name, value in seen.items()}
    written = {name: value for name, value in written.items() if name not in drop} | dict(add)
    write_shards(written, folder, 3)
    torch.save(matrix, folder / "mm_projector.bin")
    other = {name: torch.rand(2) for name in ("text_model.x", "visual_projection.weight", "logit_scale")}
    positions = {"vision_model.embeddings.position_ids": torch.arange(5)[None]}
    (folder / "tower").mkdir()
    save_file(seen | other | positions, folder / "tower" / "model.safetensors")
    write_json({"model_type": "clip", "vision_config": VISION | {"top_k": 50}}, folder / "tower" / "config.json")
    write_json(PICTURES, folder / "tower" / "preprocessor_config.json")
    about = {"model_type": "llava", "mm_vision_select_layer": -2, "mm_use_im_start_end": False, "rope_scaling": None}
    write_json(TEXT | about | {"torch_dtype": "float16", "tune_mm_mlp_adapter": False}, folder / "config.json")
    shutil.copyfile(HERE / "tokenizer.model", folder / "tokenizer.model")
    return model


def mplug_owl2(folder: Path, drop=()):
    """Official names are those of our class; rotary frequencies and sine tables come along."""
    slim_imports()
    from vlmscope.models.owl2.configuration import OwlConfig
    from vlmscope.models.owl2.modeling import MPLUGOwl2ForConditionalGeneration

    folder.mkdir(parents=True)
    queries = {"encoder_hidden_size": 16, "grid_size": 2, "num_learnable_queries": 4, "num_hidden_layers": 2}
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
    visual = {
        "visual_model": {**sizes, "num_hidden_layers": 2, "image_size": 28, "patch_size": 14, "layer_norm_eps": 1e-6},
        "visual_abstractor": {**sizes, **queries, "layer_norm_eps": 1e-6},
    }
    model = random(MPLUGOwl2ForConditionalGeneration, OwlConfig(**TEXT, visual_config=visual))
    block = "model.visual_abstractor.encoder.layers.0.crossattention.attention."
    computed = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(3), block + "q_pos_embed": torch.ones(4, 16)}
    written = {name: value for name, value in model.state_dict().items() if name not in drop}
    write_shards(written | computed, folder, 4)
    more = {"model_type": "mplug_owl_vision_model", "temperature": 1.0, "bad_words_ids": None, "use_flash_attn": False}
    visual = {name: {**part, **more} for name, part in visual.items()}
    about = {"model_type": "mplug_owl2", "architectures": ["MPLUGOwl2LlamaForCausalLM"], "visual_config": visual}
    write_json(TEXT | about | {"tune_mm_mlp_adapter": False, "use_cache": True}, folder / "config.json")
    write_json(PICTURES, folder / "preprocessor_config.json")
    shutil.copyfile(HERE / "tokenizer.model", folder / "tokenizer.model")
    return model


def clip(folder: Path):
    """A checkpoint of the library's own layout, pickled in one file."""
    slim_imports()
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPVisionConfig, PreTrainedTokenizerFast

    folder.mkdir(parents=True)
    narrow = {key: TEXT[key] for key in ("vocab_size", "num_hidden_layers", "num_attention_heads", "hidden_size")}
    ends = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    text = CLIPTextConfig(**narrow, intermediate_size=40, max_position_embeddings=16, projection_dim=12, **ends)
    config = CLIPConfig(text_config=text, vision_config=CLIPVisionConfig(**VISION), projection_dim=12)
    model = random(CLIPModel, config)
    positions = {f"{tower}.embeddings.position_ids": torch.arange(5)[None] for tower in ("text_model", "vision_model")}
    torch.save(dict(model.state_dict()) | positions, folder / "pytorch_model.bin")
    config.save_pretrained(folder)
    words = Tokenizer(models.WordLevel({"<pad>": 0, "<s>": 1, "</s>": 2, "dog": 3}, unk_token="<pad>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="</s>").save_pretrained(folder)
    write_json(PICTURES, folder / "preprocessor_config.json")
    return model
