"""Which rule makes a file, with which code, and what else the same job writes: read off the workflow's own rules.

The engine is not imported: a rule is anything with `name`, `output` and `log` (files with `regex` and
`apply_wildcards`), and `params`, whose `code` tells the digest of its code.
"""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, NamedTuple

from vlmscope.config import Config, digest_ready
from vlmscope.report.result import System, matching
from vlmscope.report.systems import SYSTEMS


class Made(NamedTuple):
    """What made a file: rule, its log, digest of its code, all files of the same job, and titles of some of them."""

    rule: str
    log: str
    code: str
    outputs: tuple[str, ...]
    titles: dict[str, str]

    def companion(self) -> str:
        """The JSON beside a table that says what made it; empty where the job writes none."""
        return next((one for one in self.outputs if one.endswith(".meta.json")), "")


def made(rules: Iterable[Any], path: str) -> Made | None:
    """What makes a file; None for a file that no rule makes."""
    for rule in rules:
        for pattern in rule.output:
            found = pattern.regex().match(path)
            if found:
                return _job(rule, found.groupdict())
    return None


def _job(rule: Any, wildcards: dict[str, str]) -> Made:
    code = getattr(rule.params, "code", "")
    digest = code(SimpleNamespace(**wildcards)) if callable(code) else str(code)
    logs = [str(one.apply_wildcards(wildcards)) for one in rule.log]
    outputs = {one: str(one.apply_wildcards(wildcards)) for one in rule.output}
    titles = {path: title for one, path in outputs.items() if (title := _title(one, wildcards))}
    return Made(rule.name, logs[0] if logs else "", digest, tuple(outputs.values()), titles)


def _title(output: Any, wildcards: dict[str, str]) -> str:
    """What a file is called in the engine's own report; empty for a file that does not stand there."""
    flag = getattr(output, "flags", {}).get("report")
    labels = getattr(flag, "labels", None) or {}
    return str(labels.get("result", "")).format(**wildcards)


# Page -> the target rule whose files it shows.
SCOPES = {"index": "all", "everything": "everything"}


class Plan:
    """What a report reads: what a target asks for of the configured systems, and what the same jobs write beside it.

    config    typed configuration
    workflow  has `rules`; asked when the jobs are planned, by when every rule is known
    """

    scopes = tuple(SCOPES)

    def __init__(self, config: Config, workflow: Any) -> None:
        self.config, self.workflow = config, workflow
        self._known: dict[str, dict[str, Made]] = {}

    def results(self, wildcards: Any) -> list[str]:
        """All files that the page depends on."""
        return list(self._files(wildcards.scope))

    def made(self, wildcards: Any) -> str:
        """File -> what made it, as canonical JSON; companions are named where there are some."""
        told = {
            path: {
                **{"rule": one.rule, "log": one.log, "code": one.code, "meta": one.companion()},
                "title": one.titles.get(path, ""),
            }
            for path, one in self._files(wildcards.scope).items()
        }
        return digest_ready(told)

    def _files(self, scope: str) -> dict[str, Made]:
        """Files in the order of the targets, each with what made it."""
        if scope not in self._known:
            rules, found = list(self.workflow.rules), {}
            target = next(rule for rule in rules if rule.name == SCOPES[scope])
            asked = [path for path in target.input if isinstance(path, str)]
            for system in SYSTEMS:
                for path in self._wanted(system, asked):
                    if job := made(rules, path):
                        found |= dict.fromkeys([path, *_shown(system, job)], job)
            self._known[scope] = found
        return self._known[scope]

    def _wanted(self, system: System, targets: Iterable[str]) -> list[str]:
        """Targets of a system; none where no model is configured for it."""
        on = getattr(self.config.run, system.name)
        return [path for path in dict.fromkeys(map(str, targets)) if on and path.startswith(f"results/{system.name}/")]


def _shown(system: System, job: Made) -> list[str]:
    """Files of a job that the page shows or reads: tables and figures of the catalogue, companions."""
    names = {path: path.rpartition("/")[2] for path in job.outputs}
    tables = [one.file for one in system.results]
    figures = [f"{name}.{ending}" for one in system.results for name in one.figures for ending in ("svg", "png")]
    extra = [f"{stem}_long.csv" for stem in ("table2", "table3", "table5")]
    wanted = [*tables, *figures, *extra, *(one.files for one in system.pages), "*.meta.json"]
    return [path for path, name in names.items() if path in job.titles or any(matching(one, [name]) for one in wanted)]
