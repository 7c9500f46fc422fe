"""What edits do: to captions with the source word, to others, to the model's own likelihoods (mm_neurons.md 6.8)."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import polars as pl

from vlmscope.mm_neurons.edit import cases as edit_cases
from vlmscope.mm_neurons.edit import files as edit_files
from vlmscope.mm_neurons.edit.cases import Case
from vlmscope.mm_neurons.edit.files import Edit
from vlmscope.mm_neurons.edit.making import Bench, Task, succeeds
from vlmscope.mm_neurons.runs import passes, readings
from vlmscope.mm_neurons.runs.readings import Place
from vlmscope.mm_neurons.schemas import EDITED
from vlmscope.models import answer

ROLES = ("made", "general", "local")


class State(NamedTuple):
    """A model's captions and what it gives to the untouched ones, by sample; margins only where there are occurrences.

    first, steps   log-probabilities [vocabulary] of the first step, [step, vocabulary] of all steps
    """

    captions: dict[str, tuple[int, ...]]
    steps: dict[str, Any]
    margins: dict[str, float]


def measured(
    bench: Bench, own: Task, edits: Sequence[Edit], applied: str, seconds: float | None = None
) -> pl.DataFrame:
    """Rows of one pair of words under some edits, `EDITED`.

    edits     the first is the pair's own, whose size is told
    seconds   that making it took
    """
    roles = {sample: role for role in ROLES for sample in getattr(own.chosen, role)}
    names = list(roles)
    before = _state(bench, own, names, dict(bench.tokens))
    with edit_files.applied(bench.loaded, edits):
        after = _state(bench, own, names, None)
    likely = dict(_likelihoods(bench, names, before.captions, after.captions))
    rows = [_row(bench, own, sample, roles[sample], before, after, likely) for sample in names]
    told = edits[0].about
    common = {"source": own.words.source, "target": own.words.target, "applied": applied, "method": told["method"]}
    common |= {"neurons": len(edits[0].layer), "weights": edits[0].weights, "seconds": seconds}
    return pl.DataFrame([row | common for row in rows], schema=EDITED)


def _state(bench: Bench, own: Task, names: Sequence[str], known: dict[str, tuple[int, ...]] | None) -> State:
    """The model as it is now; captions that are known are not written again."""
    captions = known or dict(zip(names, bench.write(names), strict=True))
    steps: dict[str, Any] = {}
    for rows in passes.batches([bench.prompts[name] for name in names], bench.batch):
        some = [names[row] for row in rows]
        read = passes.log_probs(
            bench.loaded, [bench.prompts[name] for name in some], [bench.tokens[name] for name in some]
        )
        steps |= {name: one[: len(bench.tokens[name]) + 1].cpu() for name, one in zip(some, read, strict=True)}
    return State(captions, steps, _margins(bench, own, names))


def _margins(bench: Bench, own: Task, names: Sequence[str]) -> dict[str, float]:
    """Mean over the occurrences of the source word in a caption, with the target in the places of earlier ones."""
    found = [case for name in names for case in _cases(bench, own, name)]
    if not found:
        return {}
    places = [Place(bench.prompts[one.sample], one.before + one.target, len(one.before)) for one in found]
    values = readings.read(bench.loaded, places, bench.batch).log_prob
    by_sample: dict[str, list[float]] = {}
    for case, one in zip(found, values, strict=True):
        by_sample.setdefault(case.sample, []).append(float(one[case.target[0]] - one[case.source[0]]))
    return {sample: sum(every) / len(every) for sample, every in by_sample.items()}


def _cases(bench: Bench, own: Task, name: str) -> list[Case]:
    return list(edit_cases.cases(name, bench.tokens[name], own.words, bench.spelled))


def _likelihoods(
    bench: Bench, names: Sequence[str], *captions: dict[str, tuple[int, ...]]
) -> Iterator[tuple[tuple[str, tuple[int, ...]], float]]:
    """Sample and caption -> negative log-likelihood under the model as it is now, the end included; each once."""
    end = answer.ends(bench.loaded)[:1]
    texts = list(dict.fromkeys((name, part[name]) for part in captions for name in names))
    for rows in passes.batches([bench.prompts[name] for name, _ in texts], bench.batch):
        some = [texts[row] for row in rows]
        whole = [(*tokens, *end) if len(tokens) < bench.max_new_tokens else tokens for _, tokens in some]
        values = passes.log_probs(bench.loaded, [bench.prompts[name] for name, _ in some], whole)
        for text, tokens, one in zip(some, whole, values, strict=True):
            yield text, -float(sum(one[step, token] for step, token in enumerate(tokens)))


def _row(
    bench: Bench,
    own: Task,
    sample: str,
    role: str,
    before: State,
    after: State,
    likely: dict[tuple[str, tuple[int, ...]], float],
) -> dict[str, Any]:
    old, new = bench.tokens[sample], after.captions[sample]
    apart = (before.steps[sample].exp() * (before.steps[sample] - after.steps[sample])).sum(-1)
    first = next(iter(_cases(bench, own, sample)), None)
    row: dict[str, Any] = {
        "role": role,
        "sample": sample,
        "before": bench.text(old),
        "after": bench.text(new),
        "unchanged": new == old,
        "kl_first": float(apart[0]),
        "kl": float(apart.mean()),
        "nll_before": likely[sample, old],
        "nll_after": likely[sample, new],
        "tokens_before": _length(bench, old),
        "tokens_after": _length(bench, new),
        "margin_before": before.margins.get(sample),
        "margin_after": after.margins.get(sample),
    }
    if role != "local":
        row["success"] = succeeds(row["after"], own.words)
        place = len(first.before) if first else None
        row["first_token"] = place is not None and new[place : place + 1] == first.target[:1]
    return row


def _length(bench: Bench, tokens: tuple[int, ...]) -> int:
    """Tokens of a caption, its end included where it came to one."""
    return len(tokens) + int(len(tokens) < bench.max_new_tokens)
