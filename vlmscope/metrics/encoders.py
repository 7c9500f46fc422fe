"""Models that read texts: vectors of their tokens, or one number for a pair. From folders, nothing is downloaded."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vlmscope.errors import VlmscopeError
from vlmscope.metrics.similarity import Encoded, normed

# Tokens that a text may have; longer ones are cut at the end.
LONGEST = 512
# Tokenizers that tell a word by the blank before it: the first word of a text gets one too, as in bert-score.
BLANK_BEFORE = ("roberta", "gpt2", "longformer", "bart", "deberta")
PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


class Source(NamedTuple):
    """Where a model comes from, and what to say when it does not fit.

    what     what it is to be
    where    setting or folder that names it
    remedy   what to write instead
    """

    folder: str
    what: str
    where: str
    remedy: str = "a folder with a model of transformers and its tokenizer, or leave it empty for the offline stand-in"
    revision: str | None = None

    def wrong(self, why: str) -> VlmscopeError:
        """The error that says why a model is not what it is to be."""
        return VlmscopeError(f"This is no {self.what}: {why}.", where=self.where, instead=self.remedy)


class Contextual:
    """Token vectors of a language model. Loaded when first asked.

    folder   what `AutoModel` and `AutoTokenizer` read
    layer    hidden state that is taken: 0 the embeddings, None the last one
    """

    def __init__(
        self, folder: str | Path, layer: int | None = None, *, where: str = "", batch: int = 64, device: str = "cpu"
    ) -> None:
        self.source = Source(str(folder), "scoring model", where or str(folder))
        self.layer, self.batch, self.device = layer, batch, device

    @cached_property
    def _parts(self) -> tuple[Any, Any]:
        """Tokenizer and model in evaluation mode."""
        from transformers import AutoModel

        tokenizer, model = loaded(AutoModel, self.source)
        layers = getattr(model.config, "num_hidden_layers", 0)
        if self.layer is not None and self.layer > layers:
            raise VlmscopeError(
                f"The model has {layers} layers, there is no layer {self.layer}.",
                where=self.source.where,
                instead=f"a layer up to {layers}; of roberta-large: 17",
            )
        return tokenizer, model.to(self.device).eval()

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Numbers of the tokens of every text, special ones among them."""
        return [self._parts[0](text, truncation=True, max_length=LONGEST).input_ids for text in self._plain(texts)]

    def _plain(self, texts: Sequence[str]) -> list[str]:
        lead = " " if self._parts[1].config.model_type in BLANK_BEFORE else ""
        return [lead + text.strip() for text in texts]

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Vectors of every text, order kept."""
        import torch

        tokenizer, model = self._parts
        texts = self._plain(texts)
        found: dict[int, Encoded] = {}
        for rows in by_length(texts, self.batch):
            chosen = [texts[row] for row in rows]
            inputs = tokenizer(
                chosen,
                padding=True,
                truncation=True,
                max_length=LONGEST,
                return_special_tokens_mask=True,
                return_tensors="pt",
            )
            # Padding is marked as special too.
            special = inputs.pop("special_tokens_mask").bool()
            with torch.inference_mode():
                states = model(**inputs.to(self.device), output_hidden_states=True).hidden_states
            vectors = states[-1 if self.layer is None else self.layer].float().cpu()
            for place, row in enumerate(rows):
                real = inputs["attention_mask"][place].bool().cpu()
                ids = inputs["input_ids"][place].cpu()[real].numpy()
                begins = starts(tokenizer.convert_ids_to_tokens(ids.tolist()))
                found[row] = Encoded(normed(vectors[place][real].numpy()), ids, begins, special[place][real].numpy())
        return [found[row] for row in range(len(texts))]


class Single:
    """Vectors of single tokens, whatever stands around them: an offline stand-in for a language model.

    vectors   float32 [token, d]   embeddings of all tokens, by number
    texts     [token]              text of every token, decoded alone; empty for special ones
    """

    def __init__(self, vectors: np.ndarray, texts: Sequence[str]) -> None:
        self.vectors, self.texts = normed(vectors), list(texts)

    def ids(self, texts: Sequence[Sequence[int]]) -> list[list[int]]:
        """Numbers of the tokens of every text without special ones."""
        return [[token for token in text if self.texts[token].strip()] for text in texts]

    def encode(self, texts: Sequence[Sequence[int]]) -> list[Encoded]:
        """Vectors of every text, given as numbers of tokens; special ones are left out."""
        found = []
        for text in self.ids(texts):
            ids = np.array(text, dtype=np.int64)
            pieces = [self.texts[token].strip() for token in ids.tolist()]
            begins = np.array([piece not in PUNCTUATION for piece in pieces], dtype=bool)
            found.append(Encoded(self.vectors[ids], ids, begins, np.zeros(len(ids), bool)))
        return found


class OneLogit:
    """A sequence classifier with one output. Loaded when first asked."""

    def __init__(self, source: Source, *, batch: int = 32, device: str = "cpu") -> None:
        self.source, self.batch, self.device = source, batch, device

    @cached_property
    def _parts(self) -> tuple[Any, Any]:
        """Tokenizer and model in evaluation mode."""
        from transformers import AutoModelForSequenceClassification

        tokenizer, model = loaded(AutoModelForSequenceClassification, self.source)
        if model.config.num_labels != 1:
            raise self.source.wrong(f"it has {model.config.num_labels} outputs instead of one")
        return tokenizer, model.to(self.device).eval()

    def scores(self, texts: Sequence[str], others: Sequence[str] | None = None) -> np.ndarray:
        """One number per text or per pair of texts, order kept: float32 [text]."""
        import torch

        tokenizer, model = self._parts
        found = np.zeros(len(texts), np.float32)
        # Some tokenizers tell the two texts of a pair apart only when they are asked to.
        kinds = others is not None and getattr(model.config, "type_vocab_size", 0) > 1
        options = {"return_token_type_ids": True} if kinds else {}
        lengths = texts if others is None else [one + other for one, other in zip(texts, others, strict=True)]
        for rows in by_length(lengths, self.batch):
            columns = [[column[row] for row in rows] for column in (texts, others) if column is not None]
            inputs = tokenizer(
                *columns, padding=True, truncation=True, max_length=LONGEST, return_tensors="pt", **options
            )
            with torch.inference_mode():
                found[rows] = model(**inputs.to(self.device)).logits[:, 0].float().cpu().numpy()
        return found


def by_length(texts: Sequence[str], batch: int) -> Iterator[list[int]]:
    """Rows of texts of like length, so that little is padded."""
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    for start in range(0, len(order), batch):
        yield order[start : start + batch]


def starts(tokens: Sequence[str]) -> np.ndarray:
    """Which tokens begin a word, bool [token]; no punctuation and no later piece (`##` in WordPiece)."""
    return np.array(["##" not in token and token not in PUNCTUATION for token in tokens], dtype=bool)


def loaded(kind: Any, source: Source) -> tuple[Any, Any]:
    """Tokenizer and model of a folder; a weight that is not there would be drawn at random, so it is refused."""
    from transformers import AutoTokenizer

    place = {"revision": source.revision, "local_files_only": True}
    try:
        tokenizer = AutoTokenizer.from_pretrained(source.folder, **place)
        model, about = kind.from_pretrained(source.folder, output_loading_info=True, **place)
    except (OSError, ValueError, RuntimeError) as error:
        raise VlmscopeError(
            f"The {source.what} cannot be loaded: {str(error).splitlines()[0]}",
            where=source.where,
            instead=source.remedy,
        ) from error
    # What sums a text up has no part in the vectors of tokens; masked language models come without it.
    unused = () if "SequenceClassification" in type(model).__name__ else ("pooler.",)
    lacking = sorted(name for name in about["missing_keys"] if not name.startswith(unused))
    if lacking:
        raise source.wrong(f"{len(lacking)} weights are missing, {lacking[0]} among them")
    return tokenizer, model
