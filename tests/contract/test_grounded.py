"""Grounding DINO and SAM of transformers behind the segmenter: two tiny models with random weights."""

import json

import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image

from vlmscope.multimodal_sae.score.segment import Grounded

SIZE = 64


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("grounded")
    torch.manual_seed(0)
    detector(root / "dino")
    sam(root / "sam")
    return str(root / "dino"), str(root / "sam")


def detector(folder):
    swin = hf.SwinConfig(
        image_size=64, patch_size=4, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 1, 1], window_size=2,
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    bert = hf.BertConfig(
        vocab_size=12, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    config = hf.GroundingDinoConfig(
        backbone_config=swin, text_config=bert, d_model=32, encoder_layers=2, decoder_layers=2, num_queries=6,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16,
        max_text_len=16, disable_custom_kernels=True,
    )  # fmt: skip
    hf.GroundingDinoForObjectDetection(config).save_pretrained(folder)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "?", "car", "dog", "red", "blue", "a"]
    (folder / "vocab.txt").write_text("\n".join(words))
    hf.BertTokenizer(vocab=dict(zip(words, range(len(words)), strict=True))).save_pretrained(folder)
    hf.GroundingDinoImageProcessorPil(size={"shortest_edge": 128, "longest_edge": 128}).save_pretrained(folder)


def sam(folder):
    vision = hf.SamVisionConfig(
        hidden_size=16, output_channels=8, num_hidden_layers=1, num_attention_heads=2, image_size=64, patch_size=8,
        global_attn_indexes=[0], mlp_dim=16, num_pos_feats=4, window_size=2,
    )  # fmt: skip
    prompt = hf.SamPromptEncoderConfig(hidden_size=8, image_size=64, patch_size=8, mask_input_channels=4)
    mask = hf.SamMaskDecoderConfig(
        hidden_size=8, mlp_dim=16, num_hidden_layers=1, num_attention_heads=2, iou_head_hidden_dim=8
    )
    config = hf.SamConfig(vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=mask)
    hf.SamModel(config).save_pretrained(folder)
    sizes = {"size": {"longest_edge": 64}, "pad_size": {"height": 64, "width": 64}}
    hf.SamImageProcessorPil(**sizes).save_pretrained(folder)
    assert json.loads((folder / "preprocessor_config.json").read_text())["size"] == {"longest_edge": 64}


def test_boxes_and_masks_come_from_the_two_models(folders):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8))
    finder = Grounded(*folders, size=SIZE, threshold=0.0, device="cpu")
    squashed = picture.resize((SIZE, SIZE))
    boxes = finder._boxes(squashed, "car.")
    assert len(boxes) == 6 and all(len(box) == 4 for box in boxes)
    candidates = finder._candidates(0, squashed, boxes)
    assert candidates.shape == (6, 3, SIZE, SIZE) and candidates.dtype == bool
    found = finder.find(0, picture, "car")
    assert found.shape == (SIZE, SIZE) and found.dtype == bool


def test_no_box_gives_no_mask(folders):
    finder = Grounded(*folders, size=SIZE, threshold=1.0, device="cpu")
    assert finder.find(0, Image.new("RGB", (30, 30)), "car") is None


def test_masks_are_those_of_a_plain_pass_and_a_picture_is_encoded_once(folders, monkeypatch):
    pictures = [
        Image.fromarray(np.random.default_rng(seed).integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8))
        for seed in (0, 1)
    ]
    finder = Grounded(*folders, size=SIZE, threshold=0.0, device="cpu")
    _, _, cutter, cut = finder._models
    boxes, encoded = [[3.0, 5.0, 40.0, 50.0], [0.0, 0.0, 64.0, 64.0]], []
    inner = cutter.get_image_embeddings
    monkeypatch.setattr(cutter, "get_image_embeddings", lambda given: encoded.append(1) or inner(given))
    for number in (0, 1, 0, 1):
        own = finder._candidates(number, pictures[number], boxes)
        process = hf.SamProcessor(cut)
        given = process(pictures[number], input_boxes=[boxes], return_tensors="pt")
        sizes = (given["original_sizes"], given["reshaped_input_sizes"])
        plain = cut.post_process_masks(cutter(**given).pred_masks, *sizes)[0].numpy()
        assert plain.any() and not plain.all()
        assert np.mean(own != plain) < 2e-3
    assert len(encoded) == 2
