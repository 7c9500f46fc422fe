"""How like a neuron's words are to a noun or a caption: text scores of every pair that a table asks for, each once.

A neuron's text is what its output weights raise most: decoded tokens joined by blanks, empty ones left out; with `ends:
signed` what they lower most where the neuron was active below zero. Scores are
those of models in local folders. Without a folder there is an offline stand-in, in the same column and named in every
table that it feeds: it takes the model's own input embeddings of single tokens instead of a scoring model.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from vlmscope.metrics import similarity
from vlmscope.metrics.encoders import Contextual, OneLogit, Single, Source
from vlmscope.mm_neurons.measures import sets
from vlmscope.mm_neurons.measures.semantic import REFERENCES, SCORES, scorers
from vlmscope.mm_neurons.schemas import CAPTIONS, NEURON_TOKENS, SIMILARITIES
from vlmscope.models import written
from vlmscope.store import tables

log = logging.getLogger(__name__)


class Pairs(NamedTuple):
    """Texts that are compared.

    candidates   decoded tokens of every neuron, as numbers and as texts
    references   texts, all different
    rows         int64 [pair, 2]   places of candidate and reference
    """

    candidates: list[tuple[list[int], list[str]]]
    references: list[str]
    rows: np.ndarray


def wanted(paths: Sequence[str], captions: pl.DataFrame, references: Sequence[str], k: int, ends: str) -> pl.DataFrame:
    """Pairs of the k best neurons of every noun with its references: neuron, ref, reference; each pair once.

    paths   files of lists
    ends    see `Sets.ends`
    """
    said = {row["sample"]: row for row in captions.iter_rows(named=True)}
    columns = ("neuron", "ref", "reference")
    parts = [pl.DataFrame(schema={name: SIMILARITIES[name] for name in columns})]
    for listed in sets.read(paths, k).values():
        chosen = listed.ends(ends)
        for ref in references:
            texts = [{**said[sample], "noun": noun}[REFERENCES[ref]] for sample, noun in chosen.keys]
            told = pl.Series(texts, dtype=pl.String).gather(np.repeat(np.arange(len(chosen)), chosen.keep))
            found = pl.DataFrame({"neuron": chosen.neurons.ravel(), "reference": told})
            parts.append(found.unique().with_columns(ref=pl.lit(ref)).select(columns))
    return pl.concat(parts).unique().drop_nulls().sort("ref", "reference", "neuron")


def words(tokens: pl.DataFrame) -> pl.DataFrame:
    """Decoded tokens of both ends of every neuron, best first, without empty ones: neuron, ids, texts.

    tokens   `schemas.NEURON_TOKENS`
    """
    return (
        tokens.filter(pl.col("token").str.strip_chars() != "")
        .sort("end", "layer", "unit", "rank")
        .group_by(sets.end(), maintain_order=True)
        .agg(ids="token_id", texts=pl.col("token").str.strip_chars())
    )


def paired(pairs: pl.DataFrame, known: pl.DataFrame) -> Pairs:
    """Pairs of one kind of reference as places in lists of texts.

    pairs   neuron, reference
    known   see `words`
    """
    neurons, references = (pairs[name].unique().sort() for name in ("neuron", "reference"))
    texts = pl.DataFrame({"neuron": neurons}).join(known, on="neuron", how="left", maintain_order="left")
    candidates = [(ids or [], told or []) for ids, told in texts.select("ids", "texts").iter_rows()]
    rows = [
        column.search_sorted(pairs[name]).to_numpy().astype(np.int64)
        for name, column in (("neuron", neurons), ("reference", references))
    ]
    return Pairs(candidates, references.to_list(), np.stack(rows, axis=1))


class Scorers:
    """The three scores, each by its model or by its stand-in.

    settings   bertscore, bertscore_layer, moverscore, bleurt
    """

    def __init__(
        self, settings: Mapping[str, Any], stand_in: Single, tokenize: Callable[[str], list[int]], device: str = "cpu"
    ) -> None:
        self.settings, self.stand_in, self.tokenize, self.device = settings, stand_in, tokenize, device

    def bertscore(self, pairs: Pairs) -> np.ndarray:
        """BERTScore F1, float32 [pair]; the stand-in matches single tokens by cosine."""
        return similarity.over_pairs(*self._read("bertscore", pairs), pairs.rows, similarity.bert_f1s)

    def moverscore(self, pairs: Pairs) -> np.ndarray:
        """MoverScore, float32 [pair]; rare tokens are those of few candidates, of few references."""
        encoder, *texts = self._read("moverscore", pairs)
        weights = tuple(similarity.rarity(encoder.ids(part)) for part in texts)
        return similarity.over_pairs(encoder, *texts, pairs.rows, lambda part: similarity.mover(part, weights))

    def bleurt(self, pairs: Pairs) -> np.ndarray:
        """BLEURT, float32 [pair]; the stand-in is the cosine of mean embeddings."""
        if not self.settings["bleurt"]:
            return similarity.over_pairs(*self._read("bleurt", pairs), pairs.rows, similarity.cosines)
        source = Source(self.settings["bleurt"], "model for BLEURT", "mm_neurons.measures.bleurt")
        said = [" ".join(texts) for _, texts in pairs.candidates]
        columns = [[pairs.references[other] for _, other in pairs.rows], [said[one] for one, _ in pairs.rows]]
        return OneLogit(source, device=self.device).scores(*columns)

    def _read(self, name: str, pairs: Pairs) -> tuple[similarity.Encoder, list[Any], list[Any]]:
        """Encoder, candidates and references in the form that it reads."""
        if not self.settings[name]:
            return self.stand_in, [ids for ids, _ in pairs.candidates], [self.tokenize(one) for one in pairs.references]
        layer = self.settings["bertscore_layer"] if name == "bertscore" else None
        encoder = Contextual(self.settings[name], layer, where=f"mm_neurons.measures.{name}", device=self.device)
        return encoder, [" ".join(texts) for _, texts in pairs.candidates], pairs.references


def table(pairs: pl.DataFrame, known: pl.DataFrame, scores: Scorers) -> pl.DataFrame:
    """Scores of all pairs, `SIMILARITIES`."""
    parts = [pl.DataFrame(schema=SIMILARITIES)]
    for own in pairs.partition_by("ref", maintain_order=True):
        both = paired(own, known)
        log.info("%s: %d texts, %d pairs", own["ref"][0], len(both.references), len(own))
        found = {name: pl.Series(name, getattr(scores, name)(both)).fill_nan(None) for name in SCORES}
        parts.append(own.with_columns(**found).select(list(SIMILARITIES)))
    return pl.concat(parts)


# ---- files -------------------------------------------------------------------------------------------------------


def stand_in(model: str) -> tuple[Single, Callable[[str], list[int]]]:
    """Input embeddings of a model's checkpoint as an encoder, and its tokenizer: text -> numbers of tokens."""
    kind, _, tokenizer, weights = written.opened(model, whose="captions", where="run.mm_neurons")
    # Embeddings lie beside the final norm; where they have another name the head's rows serve.
    place = kind.norm.rpartition(".")[0] + ".embed_tokens"
    vectors = weights.read(place, kind.head).float().numpy()
    texts = written.texts(tokenizer, min(len(vectors), tokenizer.vocab_size))

    def inside(text: str) -> list[int]:
        """Tokens of a text behind a word: at the beginning of a text the first may be another one."""
        before, both = (tokenizer(one, add_special_tokens=False).input_ids for one in ("a", f"a {text}"))
        return both[len(before) :]

    return Single(vectors[: len(texts)], texts), inside


def from_files(
    paths: Sequence[str], *, model: str, tokens: str, captions: str, settings: Mapping[str, Any], device: str = "cpu"
) -> pl.DataFrame:
    """Scores of all pairs that the tables of the semantic measure ask for.

    paths      files of lists
    settings   ends, references, texts (neurons per noun), bertscore, bertscore_layer, moverscore, bleurt
    """
    pairs = wanted(paths, tables.read(captions, CAPTIONS), settings["references"], settings["texts"], settings["ends"])
    log.info("scores by %s", scorers(settings))
    scores = Scorers(settings, *stand_in(model), device=device)
    return table(pairs, words(tables.read(tokens, NEURON_TOKENS)), scores)
