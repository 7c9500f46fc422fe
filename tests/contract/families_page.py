"""The page docs/families.md, printed from the families themselves.

`python tests/contract/families_page.py` writes it; a test keeps it in step.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vlmscope.models import base

PAGE = Path(__file__).resolve().parents[2] / "docs" / "families.md"

HEAD = """# Model families

A family is one file in `vlmscope/models/`. The tables below are printed from these files;
`python -m vlmscope sites MODEL` prints one of them. `tests/contract/test_families.py` checks every family x site on a
tiny, randomly initialised model:

- the site exists in every layer, has the stated width, and reading it changes no logit;
- silencing units moves the logits, unless the layer is inert (computed, but its result is never used);
- where a site has columns, zeroing them equals silencing the units, and a null edit changes nothing;
- values and counts do not depend on the batch; weights come back bit-equal, hooks are gone after an exception;
- the residual stream is the sum of its branches;
- attention probabilities are those that the model itself reports, and asking for them leaves nothing behind.

For every family that writes text:

- greedy answers in a left-padded batch equal single ones;
- decoding with a cache equals one forward pass over the whole text;
- norm and head of the last residual give the logits, and a capture computes them only where a take looks.

`tests/contract/test_published_shapes.py` builds the published sizes without weights and resolves every path.

**Streams.** `text` positions are [sample, token]; `vision` positions are patches of all tiles, class tokens included;
`projector` positions are image features on their way to the decoder, or positions of a Q-Former; `attention` is
[sample, head, query, key]. A capture that takes `attn_prob` has the decoder compute attention step by step for its
passes, since fused kernels never hold the probabilities; what else it takes then differs by rounding.
"""


def lines(names: Iterable[str]) -> Iterable[str]:
    """The page, line by line."""
    families = [base.family(name) for name in names]
    yield HEAD
    yield "## What the common sites are"
    yield ""
    yield "| site | what |"
    yield "|---|---|"
    for site, what in base.SITES.items():
        yield f"| `{site}` | {what} |"
    yield ""
    yield "## Which site a family has"
    yield ""
    sites = list(dict.fromkeys([*base.SITES, *(site for one in families for site in one.sites)]))
    yield "| site | " + " | ".join(one.name for one in families) + " |"
    yield "|---" * (len(families) + 1) + "|"
    for site in sites:
        yield f"| `{site}` | " + " | ".join("yes" if site in one.sites else "" for one in families) + " |"
    for one in families:
        yield from section(one)


def section(family: Any) -> Iterable[str]:
    """One family: its class, its template, its sites."""
    yield from ("", f"## {family.name}", "", f"Class `{family.model_class}`.")
    if family.head:
        yield f"Final norm `{family.norm}`, unembedding `{family.head}`."
    for site, reason in family.without.items():
        yield f"No `{site}`: {reason}."
    template = family.template.replace("\n", "\\n")
    yield from (
        "",
        f"Template: ``{template}``",
        "",
        "| site | module | side | stream | columns |",
        "|---|---|---|---|---|",
    )
    for name, site in family.sites.items():
        columns = f"`{site.columns}`" if site.columns else ""
        yield f"| `{name}` | `{site.path}` | {site.side} | {site.stream} | {columns} |"


def text() -> str:
    """The whole page."""
    return "\n".join(lines(base.names())) + "\n"


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
