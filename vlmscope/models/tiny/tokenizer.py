"""Byte-level tokenizers that give every word of the drawn world, and of its prompts, one token."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from vlmscope.models.base import Family
from vlmscope.models.tiny import prompts
from vlmscope.world.draw import draw
from vlmscope.world.scene import DOMAINS

# A word with the space before it; one token per digit, the space on the first one.
_PIECES = r" ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s+"
# Scenes that neither train a model, from 0 on, nor measure one, from 2,000,000 on.
_CORPUS_SEED, _CORPUS_SCENES = 900_000, 2_000


@dataclass(frozen=True)
class Special:
    """The special tokens of a family.

    tokens    all of them, in the order of their numbers
    begin     stands in front of every text; "" for families without one
    end       ends an answer
    closes    whether `end` is put behind every text (CLIP)
    named     tokens that the tokenizer has as attributes, as the family's processor expects them
    """

    tokens: tuple[str, ...]
    begin: str = "<s>"
    end: str = "</s>"
    pad: str = "<pad>"
    unknown: str = "<unk>"
    closes: bool = False
    named: dict[str, str] = field(default_factory=dict)


# `</s>` is not number 2: for that number CLIP falls back to pooling at the largest token id.
LLAMA = Special(("<unk>", "<s>", "<pad>", "</s>", prompts.IMAGE), named={"image_token": prompts.IMAGE})
CLIP = replace(LLAMA, closes=True)


def build(special: Special, own: Family) -> PreTrainedTokenizerFast:
    """A tokenizer whose decoding drops the first space, as Llama's does.

    own    the family, for its chat template and wording; their words get tokens too
    """
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    inner.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)])
    inner.train_from_iterator(_words(inner, corpus(special, own)), _trainer(special))
    inner.post_processor = _around(inner, special)
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token=special.begin or None,
        eos_token=special.end,
        unk_token=special.unknown or None,
        pad_token=special.pad,
        extra_special_tokens=special.named or None,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"],
    )


def corpus(special: Special, own: Family) -> list[str]:
    """Every sort of line that the world and the prompts can hold."""
    lines = []
    for number in range(_CORPUS_SCENES):
        scene = draw(DOMAINS[number % len(DOMAINS)], _CORPUS_SEED + number)
        lines.append(scene.caption)
        for question in scene.questions:
            lines += [question.text, question.answer, prompts.official(own, scene.domain, question).text()]
    lines += [prompts.caption(own.template).text(), *prompts.LETTERS, *"0123456789"]
    whole = "|".join(re.escape(token) for token in (*special.tokens, prompts.IMAGE))
    # Special tokens are cut out before the text is split, as the tokenizer itself will do.
    return sorted({part for line in lines for part in re.split(whole, line)})


def _around(inner: Tokenizer, special: Special) -> processors.PostProcessor:
    used = [token for token in (special.begin, special.end if special.closes else "") if token]
    before = f"{special.begin} " if special.begin else ""
    after = f" {special.end}" if special.closes else ""
    numbers = [(token, inner.token_to_id(token)) for token in used]
    single, pair = f"{before}$A{after}", f"{before}$A{after} {before}$B{after}"
    return processors.TemplateProcessing(single=single, pair=pair, special_tokens=numbers)


def _words(inner: Tokenizer, lines: Iterable[str]) -> list[str]:
    """Each word once bare and once after a space: equal counts, so that each merges into one token."""
    found = {line[start:stop] for line in lines for _, (start, stop) in inner.pre_tokenizer.pre_tokenize_str(line)}
    bare = sorted({word.strip(" ") for word in found})
    return [*bare, *(f" {word}" for word in bare if word.strip())]


def _trainer(special: Special) -> trainers.BpeTrainer:
    return trainers.BpeTrainer(
        vocab_size=4_000,
        min_frequency=1,
        special_tokens=list(special.tokens),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
