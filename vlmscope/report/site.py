"""The report: one page with what was run, what was found and how sure it is, and where every number comes from."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from vlmscope.errors import VlmscopeError
from vlmscope.report import figures, finding, run
from vlmscope.report.result import Result, System, View, matching, untold, view
from vlmscope.report.systems import SYSTEMS
from vlmscope.show import pages
from vlmscope.store import files

MOST_BYTES = 8_000_000
MOST_INPUTS = 40
# Files that a reader can open, linked where they are not shown.
OPENED = (".csv", ".html", ".svg", ".png")


def write(
    target: str, *, results: Sequence[str], made: Mapping[str, Mapping[str, str]], tree: Mapping[str, Any], engine: str
) -> None:
    """Write the page.

    results   files of the configured systems, below one results folder
    made      file -> rule, log, code and companion (`makers.Plan`)
    tree      configuration as it took effect
    engine    version of the workflow engine
    """
    known = _Known(results, made, Path(target))
    systems = [_system(one, known, tree) for one in SYSTEMS]
    told = {
        "title": f"vlmscope report, {tree['scale']} scale",
        "tree": tree,
        "scope": Path(target).stem,
        "systems": systems,
        "cards": [card for card in map(_card, systems) if card["findings"]],
        "run": _run(known, tree, engine),
    }
    # Text and tables come first, and the sentence about figures left out; figures take what they leave.
    bare = len(_render(**told, left=1).encode())
    if bare > MOST_BYTES:
        raise VlmscopeError(
            f"The page has {bare} bytes without any figure, more than {MOST_BYTES}.",
            where=target,
            instead="fewer models under run",
        )
    groups = [group["results"] for system in systems for group in system["groups"]]
    left = figures.within([one for group in groups for one in _shown(group)], MOST_BYTES - bare)
    files.write_text(_render(**told, left=left), target)


def _render(**values: Any) -> str:
    return pages.render("report.html", "page.css", "report.css", "report.js", "report_sort.js", data={}, **values)


class _Known:
    """Files that the page is made of, by system and model, and the way to them from the page."""

    def __init__(self, results: Sequence[str], made: Mapping[str, Mapping[str, str]], target: Path) -> None:
        self.results, self.made, self.target = list(results), made, target
        # `results/report/index.html` stands two floors below the root that paths of results start from.
        self.root = target.parents[1]
        self.companions: dict[str, Any] = {}

    def of(self, system: str) -> dict[str, dict[str, str]]:
        """Model -> name below its folder -> path; results of no single model stand under an empty name."""
        found: dict[str, dict[str, str]] = {}
        for path in self.results:
            parts = Path(path).relative_to(self.root).parts
            if parts[0] == system:
                model = parts[1] if len(parts) > 2 else ""
                found.setdefault(model, {})["/".join(parts[2 if model else 1 :])] = path
        return found

    def link(self, path: str | Path) -> str:
        """A relative address."""
        return os.path.relpath(path, self.target.parent)

    def companion(self, path: str) -> Any:
        """What the JSON beside a table tells; nothing where no job writes one."""
        place = self.made.get(path, {}).get("meta", "")
        if place and place not in self.companions:
            self.companions[place] = files.read_json(place)
        return self.companions.get(place, {})


# ---- systems -----------------------------------------------------------------------------------------------------


def _system(system: System, known: _Known, tree: Mapping[str, Any]) -> dict[str, Any]:
    """A section; switched off where no model is configured for it."""
    configured = tree["run"][system.name]
    off = not configured
    found = {} if off else known.of(system.name)
    order = [
        *(name for name in configured if name in found),
        *(name for name in found if name not in configured and name),
    ]
    groups = [_group(system, name, found[name], known, tree) for name in [*order, *([""] if "" in found else [])]]
    groups = [one for one in groups if one["results"] or one["pages"] or one["other"]]
    return {
        "name": system.name,
        "title": system.title,
        "paper": system.paper,
        "asks": system.asks,
        "off": off,
        "groups": groups,
    }


def _group(
    system: System, model: str, paths: Mapping[str, str], known: _Known, tree: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything of one model in a system."""
    listed = {one.file for one in system.results}
    titles = {name: known.made.get(path, {}).get("title", "") for name, path in paths.items()}
    more = [untold(name, one) for name, one in titles.items() if one and name.endswith(".csv") and name not in listed]
    there = [*(one for one in system.results if one.file in paths), *more]
    label = tree["models"][model]["label"] if model in tree["models"] else model or "Across models"
    here = [_result(one, f"{system.name}-{model or 'all'}", label, paths, known) for one in there]
    kinds = _pages(system, paths, known)
    shown = {one.file for one in there} | {name for one in kinds for name in one["names"]}
    # A figure is shown in one of its formats.
    drawn = {Path(one["path"]).with_suffix("") for one in _shown(here)}
    other = [name for name in paths if name.endswith(OPENED) and name not in shown and not _drawn(paths[name], drawn)]
    return {
        "model": model,
        "label": label,
        "results": here,
        "pages": kinds,
        "other": [(name, known.link(paths[name])) for name in other],
    }


def _drawn(path: str, drawn: set[Path]) -> bool:
    return Path(path).suffix in figures.KINDS and Path(path).with_suffix("") in drawn


def _pages(system: System, paths: Mapping[str, str], known: _Known) -> list[dict[str, Any]]:
    """Kinds of pages with their links; a page is listed under the first kind that it meets."""
    kinds, taken = [], set()
    for kind in system.pages:
        names = [name for name in matching(kind.files, list(paths)) if name not in taken]
        taken |= set(names)
        links = [(Path(name).stem, known.link(Path(paths[name]) / kind.opens)) for name in names]
        if links:
            kinds.append({"title": kind.title, "links": links, "names": names})
    return kinds


def _result(result: Result, prefix: str, label: str, paths: Mapping[str, str], known: _Known) -> dict[str, Any]:
    path = paths[result.file]
    frame = _read(path)
    seen = _finding(result, frame, paths)
    shown = [figures.chosen(list(paths.values()), name) for name in result.figures]
    alt = f"{result.title}, {label}. {seen['says'] if seen else result.about}"
    return {
        "id": f"{prefix}-{Path(result.file).with_suffix('').as_posix().replace('/', '-')}",
        "result": result,
        "finding": seen,
        "figures": [_figure(one, alt, known) for one in shown if one],
        "table": _table(frame, result, path),
        "link": known.link(path),
        "notes": known.companion(path).get("notes", []),
        "made": _provenance(path, known),
    }


def _figure(path: str, alt: str, known: _Known) -> dict[str, Any]:
    place = {"path": path, "link": known.link(path), "name": Path(path).name, "made": _provenance(path, known)}
    return {**place, "alt": alt, "address": "", "width": figures.width(path)}


def _read(path: str) -> pl.DataFrame:
    try:
        frame = pl.read_csv(path, infer_schema_length=None)
    except FileNotFoundError:
        raise VlmscopeError("A result is not there.", where=path, instead=f"make it: snakemake {path}") from None
    except pl.exceptions.PolarsError as error:
        raise VlmscopeError(
            f"The table cannot be read: {error}", where=path, instead="delete it and run snakemake again"
        ) from None
    # A column without any value is read as text, whatever it would hold.
    bare = [name for name in frame.columns if frame[name].null_count() == len(frame)]
    return frame.with_columns(pl.col(bare).cast(pl.Float64))


def _table(frame: pl.DataFrame, result: Result, path: str) -> View | None:
    return view(frame, result, path) if len(frame) else None


def _finding(result: Result, frame: pl.DataFrame, paths: Mapping[str, str]) -> dict[str, Any] | None:
    """What is seen and how sure it is; nothing where no one told how to read the table, or where it is empty."""

    def tables(name: str) -> pl.DataFrame:
        return frame if name == result.file else _read(paths.get(name) or str(Path(paths[result.file]).with_name(name)))

    if result.finding is None or not len(frame):
        return None
    try:
        seen = result.finding(tables)
    except (pl.exceptions.PolarsError, KeyError) as error:
        raise VlmscopeError(
            f"The table is not as the report expects it: {error}",
            where=paths[result.file],
            instead="make the table again, or change how vlmscope/report reads it",
        ) from None
    if seen is None:
        return None
    return {**seen._asdict(), "sure": finding.sure(seen), "verdict": finding.verdict(seen), "bars": finding.bars(seen)}


def _provenance(path: str, known: _Known) -> dict[str, Any]:
    """Rule, code, log, inputs; whether the table still has the content that its companion tells of."""
    one, told = known.made.get(path, {}), known.companion(path)
    inputs = list(told.get("inputs", {}).items())
    same = files.digest(path) == told["digest"] if told.get("table") == Path(path).name else None
    return {
        "rule": one.get("rule", ""),
        "log": (one["log"], known.link(one["log"])) if one.get("log") else None,
        "code": told.get("code") or one.get("code", ""),
        "meta": (Path(one["meta"]).name, known.link(one["meta"])) if one.get("meta") else None,
        "inputs": inputs[:MOST_INPUTS],
        "more_inputs": max(0, len(inputs) - MOST_INPUTS),
        "digest": told.get("digest", "") if same is not None else files.digest(path),
        "same": same,
    }


def _shown(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Figures of some results."""
    return [figure for one in results for figure in one["figures"]]


def _card(system: Mapping[str, Any]) -> dict[str, Any]:
    """Findings of a system at the top of the page: its key results one by one, each with all models."""
    found: dict[str, list[dict[str, Any]]] = {}
    for group in system["groups"]:
        for one in group["results"]:
            if one["result"].key and one["finding"]:
                told = {"label": group["label"], "id": one["id"], **one["finding"]}
                found.setdefault(one["result"].title, []).append(told)
    return {"name": system["name"], "title": system["title"], "asks": system["asks"], "findings": found}


# ---- what was run ------------------------------------------------------------------------------------------------


def _run(known: _Known, tree: Mapping[str, Any], engine: str) -> dict[str, Any]:
    changes, times = run.changed(tree), run.spent(known.root.parent / "benchmarks")
    return {
        "digest": run.digest(tree),
        "changes": changes[: run.MOST_CHANGES],
        "more_changes": max(0, len(changes) - run.MOST_CHANGES),
        "config": known.link(known.target.with_name("config.yaml")),
        "models": run.models(tree, known.root),
        "datasets": run.datasets(tree, known.root),
        "versions": [("snakemake", engine), *run.versions(known.companions.values())],
        "times": times[: run.MOST_RULES],
        "more_times": max(0, len(times) - run.MOST_RULES),
        "total": run.clock(sum(one.seconds for one in times)),
        "jobs": sum(one.jobs for one in times),
    }
