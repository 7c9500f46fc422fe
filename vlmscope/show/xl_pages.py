"""Pages about concepts: cards of a dictionary, samples by their concepts, panels of concept shift, steering."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlmscope.errors import VlmscopeError
from vlmscope.samples import open_one
from vlmscope.show import pages
from vlmscope.store import files

STYLES = ("page.css", "neurons.css", "nouns.css", "xl.css")
SCRIPTS = ("page.js", "nouns.js", "xl.js")
MOST_BYTES = 12_000_000


def concepts(data: Mapping[str, Any], pictures: Sequence[str], *, label: str, **look: Any) -> None:
    """Cards of the concepts of a dictionary. See `xl_vlms.pages.gallery`.

    pictures   references, by number
    look       scale; pixels: longest side of pictures; target
    """
    _write("xl_concepts", data, pictures, f"Concepts of \u201c{data['set']}\u201d in {label}", **look)


def local(data: Mapping[str, Any], pictures: Sequence[str], *, label: str, **look: Any) -> None:
    """Held-out samples by their most active concepts. See `xl_vlms.pages.local`."""
    _write("xl_local", data, pictures, f"Concepts in single pictures of \u201c{data['set']}\u201d: {label}", **look)


def panels(data: Mapping[str, Any], pictures: Sequence[str], *, label: str, **look: Any) -> None:
    """Concepts before and after fine-tuning. See `xl_vlms.pages.panels`."""
    _write("xl_panels", data, pictures, f"Concepts of \u201c{data['set']}\u201d: {label} and {data['tuned']}", **look)


def steering(data: Mapping[str, Any], pictures: Sequence[str], *, label: str, **look: Any) -> None:
    """Answers at every strength of a steering vector. See `xl_vlms.pages.steering`."""
    _write("xl_steering", data, pictures, f"Steering {label}", **look)


def legible(value: Any) -> Any:
    """The same with signs that do not print by their codes, in all texts of lists and tables."""
    if isinstance(value, str):
        return (
            value
            if value.isprintable()
            else "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in value)
        )
    if isinstance(value, Mapping):
        return {legible(key): legible(one) for key, one in value.items()}
    return [legible(one) for one in value] if isinstance(value, list | tuple) else value


def _write(
    name: str,
    data: Mapping[str, Any],
    pictures: Sequence[str],
    title: str,
    *,
    scale: str,
    pixels: int,
    target: str | Path,
) -> None:
    small = [pages.inline(open_one(one, Path()), pixels)[0] for one in pictures]
    page = pages.render(
        f"{name}.html",
        *STYLES,
        *SCRIPTS,
        f"{name}.js",
        title=legible(title),
        scale=scale,
        data={**legible(data), "pictures": small},
    )
    if len(page.encode()) > MOST_BYTES:
        raise VlmscopeError(
            f"The page has {len(page.encode())} bytes, more than {MOST_BYTES}.",
            where=str(target),
            instead="fewer samples, questions or pixels under xl_vlms.show",
        )
    files.write_text(page, target)
