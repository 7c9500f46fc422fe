"""Stage two: connector and language model of a LLaVA-NeXT on top of the finished tower, whose features are cached."""

import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional
from transformers import CLIPModel, LlamaConfig, LlavaNextConfig, LlavaNextForConditionalGeneration
from transformers import PreTrainedTokenizerFast as Tokenizer
from transformers.modeling_outputs import BaseModelOutputWithPast

from vlmscope.models.tiny import packing, pixels, prompts
from vlmscope.models.tiny.descent import Clock, Descent, batches
from vlmscope.models.tiny.packing import IGNORED, Encode, Packed, Row
from vlmscope.models.tiny.prompts import Prompt
from vlmscope.models.tiny.recipe import Language
from vlmscope.world.labels import NONE, OBJECTS, patches
from vlmscope.world.scene import DOMAINS, SIZE, Question, Scene

_SIDE = 8  # patches along a tile
_PATCHES = _SIDE * _SIDE
# Height and width: a single picture, and five frames side by side.
PINPOINTS = ([SIZE, SIZE], [SIZE, pixels.FRAMES * SIZE])


class Album(NamedTuple):
    """Scenes with what the frozen tower says about them.

    frames    1, or 5 side by side
    features  bfloat16 [scene, patch, width]   all tiles of a picture one after the other
    order     int64 [image token]              which patch stands there; one past the last is the end of a line
    """

    scenes: list[Scene]
    frames: int
    features: torch.Tensor
    order: torch.Tensor


def build(recipe: Language, clip: CLIPModel, tokenizer: Tokenizer) -> LlavaNextForConditionalGeneration:
    """An untrained language model around the trained tower."""
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.width,
        intermediate_size=recipe.hidden,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        max_position_embeddings=recipe.positions,
        rms_norm_eps=1e-5,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
    )
    config = LlavaNextConfig(
        vision_config=clip.config.vision_config,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids(prompts.IMAGE),
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        image_grid_pinpoints=[list(pair) for pair in PINPOINTS],
        image_seq_length=len(order(1)),
        tie_word_embeddings=False,
    )
    model = LlavaNextForConditionalGeneration(config)
    # The towers of CLIPModel and of LLaVA have the same names inside.
    model.model.vision_tower.load_state_dict(clip.vision_model.state_dict())
    model.model.vision_tower.requires_grad_(False)
    # Fused attention: with rows of several hundred tokens the plain one is twice as slow.
    model.set_attn_implementation("sdpa")
    return model


def order(frames: int) -> torch.Tensor:
    """The image tokens of LLaVA-NeXT: the squeezed tile patch by patch, then the tiles line by line as one picture.

    With one frame the squeezed tile and the tile are the same pixels, so both are read from tile 0.
    """
    tiles = range(1, frames + 1) if frames > 1 else [0]
    end = _PATCHES * (frames + 1 if frames > 1 else 1)
    lines = []
    for line in range(_SIDE):
        for tile in tiles:
            start = tile * _PATCHES + line * _SIDE
            lines += range(start, start + _SIDE)
        lines.append(end)
    return torch.tensor([*range(_PATCHES), *lines])


@torch.no_grad()
def album(model: LlavaNextForConditionalGeneration, scenes: list[Scene], frames: int = 1) -> Album:
    """Tower features of all scenes, shown once or as joined frames."""
    found = []
    for part in pixels.chunks(scenes, 64):
        if frames > 1:
            shown = [tile for scene in part for tile in pixels.tiles(pixels.joined(scene))]
        else:
            shown = [scene.image for scene in part]
        states = model.model.vision_tower(pixels.normalized(shown), output_hidden_states=True).hidden_states[-2]
        # Half precision saves a quarter of a gigabyte and costs no accuracy.
        found.append(states[:, 1:].reshape(len(part), -1, states.shape[-1]).bfloat16())
    return Album(scenes, frames, torch.cat(found), order(frames))


def states(
    model: LlavaNextForConditionalGeneration, packed: Packed, features: torch.Tensor, order: torch.Tensor
) -> torch.Tensor:
    """Last hidden states of a packed batch after the final norm, [row, token, width].

    features   [row, patch, width]   tower features of the rows' pictures
    """
    return _forward(model, packed, features, order).last_hidden_state


def depths(
    model: LlavaNextForConditionalGeneration, packed: Packed, features: torch.Tensor, order: torch.Tensor
) -> list[torch.Tensor]:
    """What the head reads at the embedding and after each layer: states after the final norm, [row, token, width]."""
    *early, last = _forward(model, packed, features, order, output_hidden_states=True).hidden_states
    # transformers norms the last one itself.
    return [*(model.model.language_model.norm(state) for state in early), last]


def _forward(
    model: LlavaNextForConditionalGeneration,
    packed: Packed,
    features: torch.Tensor,
    order: torch.Tensor,
    **wanted: bool,
) -> BaseModelOutputWithPast:
    inner = model.model
    embeds = inner.get_input_embeddings()(packed.ids)
    image = inner.multi_modal_projector(features)
    newline = inner.image_newline.to(image.dtype).expand(len(image), 1, -1)
    image = torch.cat([image, newline], 1)[:, order].to(embeds.dtype)
    here = (packed.ids == model.config.image_token_id)[..., None].expand_as(embeds)
    embeds = embeds.masked_scatter(here, image)
    return inner.language_model(
        inputs_embeds=embeds, attention_mask=packed.mask, position_ids=packed.positions, use_cache=False, **wanted
    )


def encoder(tokenizer: Tokenizer) -> Encode:
    """Text to ids without the leading `<s>`, remembered."""
    return functools.cache(lambda text: tokenizer(text, add_special_tokens=False)["input_ids"])


def all_questions(scene: Scene, letters: bool) -> list[tuple[Prompt, str]]:
    """The official prompts of a scene's questions, then its caption prompt, each with the answer."""
    told = [(prompts.official(scene.domain, one), answer(one, letters)) for one in scene.questions]
    return [*told, (prompts.caption(is_bare=False), scene.caption)]


def answer(question: Question, letters: bool) -> str:
    """What the model is to say to the official prompt: the answer's words, or with `letters` its option's letter."""
    return prompts.letter(question) if letters and question.choices else question.answer


def train(
    recipe: Language,
    model: LlavaNextForConditionalGeneration,
    tokenizer: Tokenizer,
    albums: tuple[Album, Album],
    seed: int,
    report: Callable[[str], None],
) -> list[float]:
    """Train connector and language model in place; the losses of the answers, step by step.

    albums   single pictures, joined driving pictures
    """
    rng, clock, losses = np.random.default_rng(seed), Clock(), []
    descent = Descent(model.named_parameters(), recipe.pace)
    encode, words = encoder(tokenizer), lens_words(recipe, albums[0], tokenizer)
    model.train()
    for step, (album, picked) in enumerate(_schedule(recipe, albums, rng), 1):
        done = step / recipe.pace.steps
        rows = [
            _row(recipe, album.scenes[i], len(album.order), rng, encode, letters=done > recipe.letters) for i in picked
        ]
        lens = album.frames == 1 and done > recipe.lens_from
        if lens:
            # With a free projector the loss would be met at the embedding, and nothing would rise with depth.
            model.model.multi_modal_projector.requires_grad_(False)
        batch = packing.pack(rows, tokenizer.pad_token_id)
        targets = words[picked] if lens else None
        loss, told = _loss(recipe, model, batch, album.features[picked], album.order, targets)
        descent.step(loss)
        losses.append(told)
        if step % 50 == 0 or step == recipe.pace.steps:
            report(
                f"language {step}/{recipe.pace.steps}: loss {np.mean(losses[-50:]):.3f}, {clock.seconds():.0f} CPU s"
            )
    model.eval()
    return losses


def _schedule(
    recipe: Language, albums: tuple[Album, Album], rng: np.random.Generator
) -> Iterator[tuple[Album, np.ndarray]]:
    single, joined = albums
    weights = np.array([recipe.weights[DOMAINS.index(scene.domain)] for scene in single.scenes])
    picks = batches(weights, recipe.pace.batch, rng), batches(np.ones(len(joined.scenes)), recipe.joined_batch, rng)
    for _ in range(recipe.pace.steps):
        # A batch holds pictures of one size only: rows of 136 and of 392 image tokens would waste padding.
        which = int(rng.random() < recipe.joined)
        yield albums[which], next(picks[which])


def _row(
    recipe: Language, scene: Scene, image_tokens: int, rng: np.random.Generator, encode: Encode, letters: bool
) -> Row:
    """Some questions of a scene, under the recording prompt or the official one."""
    is_bare = rng.random() < recipe.bare
    # Medical prompts carry their options and are three times as long as others.
    most = recipe.medical_questions if scene.domain == "med" and not is_bare else recipe.questions
    told = []
    for number in rng.permutation(len(scene.questions))[:most]:
        one = scene.questions[number]
        if is_bare:
            told.append((prompts.bare(one), one.answer))
        else:
            told.append((prompts.official(scene.domain, one), answer(one, letters)))
    if rng.random() < recipe.captions:
        told.append((prompts.caption(is_bare), scene.caption))
    return packing.row(told, image_tokens, encode)


def _loss(
    recipe: Language,
    model: LlavaNextForConditionalGeneration,
    batch: Packed,
    features: torch.Tensor,
    order: torch.Tensor,
    lens: torch.Tensor | None,
) -> tuple[torch.Tensor, float]:
    last = states(model, batch, features.float(), order)
    # Logits only where an answer is predicted: one token in ten.
    labels = batch.labels[:, 1:]
    asked = labels != IGNORED
    loss = functional.cross_entropy(model.lm_head(last[:, :-1][asked]), labels[asked])
    told = loss.item()
    if lens is not None:
        here = last[batch.ids == model.config.image_token_id].view(*lens.shape, -1)[lens != IGNORED]
        loss = loss + recipe.lens * functional.cross_entropy(model.lm_head(here), lens[lens != IGNORED])
    return loss, told


def lens_words(recipe: Language, album: Album, tokenizer: Tokenizer) -> torch.Tensor:
    """The object's word at every image token that shows one, int64 [scene, image token], -100 elsewhere."""
    words = [tokenizer(f" {name}", add_special_tokens=False)["input_ids"][0] for name in OBJECTS]
    words.append(IGNORED)  # what NONE, -1, picks
    found = np.stack([patches(scene, share=recipe.lens_share).objects for scene in album.scenes])
    # The end of a line shows nothing either.
    ended = np.pad(found, ((0, 0), (0, 1)), constant_values=NONE)
    return torch.tensor(words)[torch.from_numpy(ended)][:, album.order]
