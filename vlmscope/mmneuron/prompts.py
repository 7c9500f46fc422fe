"""The prompt of every domain as the model gets it, one example each (appendix of the paper, mmneuron.md 5.7)."""

from collections.abc import Mapping, Sequence

from vlmscope.datasets import base
from vlmscope.errors import VlmscopeError
from vlmscope.models.base import Family, family
from vlmscope.samples import Sample, read


def example(kind: str, sample: Sample, own: Family) -> str:
    """The full prompt of a sample within the family's template, `<image>` where the picture stands."""
    return own.chat(base.load(kind).prompt(sample, "full"))


def from_files(
    tables: Sequence[str], *, model: str, family_name: str, domains: Sequence[str], kinds: Mapping[str, str]
) -> list[dict[str, str]]:
    """Domain, model and text, in the order of the domains; the first evaluation sample of each."""
    found = []
    for domain, path in zip(domains, tables, strict=True):
        samples = read(path)
        if not samples:
            raise VlmscopeError("There is no sample to show.", where=path, instead="a dataset with rows in this split")
        text = example(kinds[domain], samples[0], family(family_name))
        found.append({"domain": domain, "model": model, "text": text})
    return found
