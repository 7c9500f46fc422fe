"""Byte-level tokenizers that give every word of the drawn world, and of its prompts, one token."""

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from vlmscope.models.tiny import prompts
from vlmscope.world.draw import draw
from vlmscope.world.scene import DOMAINS

# `</s>` is not number 2: for that number CLIP falls back to pooling at the largest token id.
SPECIAL = ("<unk>", "<s>", "<pad>", "</s>", prompts.IMAGE)
# A word with the space before it; one token per digit, the space on the first one.
_PIECES = r" ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s+"
_CORPUS_SEED, _CORPUS_SCENES = 900_000, 2_000


def llava() -> PreTrainedTokenizerFast:
    """The embedded LLaVA's: as Llama's, `<s>` is added in front and decoding drops the first space."""
    return _build(corpus(), template="<s> $A", pair="<s> $A <s> $B")


def clip() -> PreTrainedTokenizerFast:
    """The embedded CLIP's: the same tokens, with `<s>` in front and `</s>` at the end."""
    return _build(corpus(), template="<s> $A </s>", pair="<s> $A </s> $B </s>")


def corpus() -> list[str]:
    """Every sort of line that the world and the prompts can hold."""
    lines = []
    for number in range(_CORPUS_SCENES):
        scene = draw(DOMAINS[number % len(DOMAINS)], _CORPUS_SEED + number)
        lines.append(scene.caption)
        for question in scene.questions:
            lines += [question.text, question.answer, prompts.official(scene.domain, question).text()]
    lines += [prompts.caption(is_bare=False).text(), *prompts.LETTERS, *"0123456789"]
    return sorted({line.replace(prompts.IMAGE, "") for line in lines})


def _build(lines: Iterable[str], template: str, pair: str) -> PreTrainedTokenizerFast:
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    inner.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)])
    inner.train_from_iterator(_words(inner, lines), _trainer())
    numbers = [(token, inner.token_to_id(token)) for token in ("<s>", "</s>") if token in pair]
    inner.post_processor = processors.TemplateProcessing(single=template, pair=pair, special_tokens=numbers)
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        extra_special_tokens={"image_token": prompts.IMAGE},
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def _words(inner: Tokenizer, lines: Iterable[str]) -> list[str]:
    """Each word once bare and once after a space: equal counts, so that each merges into one token."""
    found = {line[start:stop] for line in lines for _, (start, stop) in inner.pre_tokenizer.pre_tokenize_str(line)}
    bare = sorted({word.strip(" ") for word in found})
    return [*bare, *(f" {word}" for word in bare if word.strip())]


def _trainer() -> trainers.BpeTrainer:
    return trainers.BpeTrainer(
        vocab_size=4_000,
        min_frequency=1,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
