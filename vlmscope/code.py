"""What a job's code is: a digest over its script and every project module that it can reach, with their tables.

A library edit re-runs the jobs whose code it changes and no other, by content and not by date. What one file says of
itself is kept in `.snakemake/`, by the digest of its bytes: every job on a cluster reads the workflow anew.
"""

import ast
import functools
import hashlib
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import xxhash

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "vlmscope"
# Below the working folder, beside what the engine keeps there. Syntax trees differ from Python to Python. The name is
# another one whenever a file's facts are told otherwise: what was kept before would be taken for them.
KEPT = Path(".snakemake", PACKAGE, "reached-{}.{}".format(*sys.version_info[:2]))

# Snakemake hands a wildcards object; only attribute access is used.
Wildcards = Any


class Facts(NamedTuple):
    """What a file says by itself: modules of the project and tables beside it that it names, digest of what it does."""

    modules: list[str]
    tables: list[str]
    skeleton: str


def code(script: str, *also: str, lookup: dict[str, dict[str, str]] | None = None) -> Callable[[Wildcards], str]:
    """Digest of a script and of every project module it imports, however deep, as a function of the wildcards.

    script   name of the file in scripts/, without .py
    also     modules that the script finds by name at run time, e.g. `vlmscope.datasets.{kind:dataset}`:
             the wildcard `dataset` goes through lookup["kind"]
    """

    def digest(wildcards: Wildcards) -> str:
        return closure_digest(f"scripts/{script}.py", *(_named_module(one, wildcards, lookup or {}) for one in also))

    return digest


def _named_module(pattern: str, wildcards: Wildcards, lookup: dict[str, dict[str, str]]) -> str:
    """Path of `vlmscope.datasets.{kind:dataset}` for this job."""
    name = re.sub(r"\{(\w+):(\w+)\}", lambda found: lookup[found[1]][getattr(wildcards, found[2])], pattern)
    return name.replace(".", "/") + ".py"


@functools.cache
def closure_digest(*entries: str) -> str:
    """Hash over the entry files and the static closure of their imports; comments and docstrings do not count."""
    digest = hashlib.sha256()
    for path in closure(*entries):
        digest.update(path.encode() + b"\0" + bytes.fromhex(facts(path).skeleton) + b"\0")
    return digest.hexdigest()[:16]


def closure(*entries: str) -> list[str]:
    """Project files reached from the entries by import statements, and the tables that they name (`NAME.toml` in the
    same folder), as sorted paths from the repository root.
    """
    todo, seen = list(entries), set()
    while todo:
        path = todo.pop()
        if path not in seen and (ROOT / path).is_file():
            seen.add(path)
            todo += imports(path)
    return sorted(seen)


@functools.cache
def imports(path: str) -> tuple[str, ...]:
    """Project files that one file imports directly, and tables beside it that it names."""
    told, folder = facts(path), path.rpartition("/")[0]
    beside = {f"{folder}/{name}" for name in told.tables}
    return tuple(sorted({file for module in told.modules for file in _files(module)} | set(filter(_there, beside))))


def _files(module: str) -> list[str]:
    """The file of a dotted name, and the packages above it."""
    parts = module.split(".")
    candidates = ["/".join(parts[:n]) + "/__init__.py" for n in range(1, len(parts) + 1)]
    return [path for path in [*candidates, "/".join(parts) + ".py"] if _there(path)]


@functools.cache
def _there(path: str) -> bool:
    return (ROOT / path).is_file()


@functools.cache
def facts(path: str) -> Facts:
    """Facts of one project file, from the folder where they are kept, else from its syntax tree."""
    source = (ROOT / path).read_bytes()
    if not path.endswith(".py"):
        return Facts([], [], hashlib.sha256(source).hexdigest())
    kept = KEPT / xxhash.xxh3_128_hexdigest(source)
    if kept.is_file():
        return Facts(*json.loads(kept.read_text(encoding="utf-8")))
    tree = ast.parse(source)
    # The names first: the skeleton drops docstrings from the tree.
    found = Facts(_modules(tree), _tables(tree), _skeleton(tree))
    _keep(found, kept)
    return found


def _keep(found: Facts, target: Path) -> None:
    """Write facts under a name of this process, then rename: many jobs may do so at once."""
    part = target.with_name(f"{target.name}.{os.uname().nodename}-{os.getpid()}.part")
    target.parent.mkdir(parents=True, exist_ok=True)
    part.write_text(json.dumps(found), encoding="utf-8")
    os.replace(part, target)


def _modules(tree: ast.Module) -> list[str]:
    """Dotted names of this project that a file imports, or writes as a text."""
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found += [node.module, *(f"{node.module}.{name.name}" for name in node.names)]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(f"{PACKAGE}."):
            # A class named by its dotted path is loaded at run time; its module counts like an import. A text that ends
            # in a point is the beginning of such a path, and names the package alone.
            found += [one for one in (node.value, node.value.rpartition(".")[0]) if not one.endswith(".")]
    return sorted({name for name in found if name.split(".")[0] == PACKAGE})


def _tables(tree: ast.Module) -> list[str]:
    """Texts of a file that are names of tables."""
    texts = [one.value for one in ast.walk(tree) if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    return sorted({one for one in texts if re.fullmatch(r"[\w-]+\.toml", one)})


def _skeleton(tree: ast.Module) -> str:
    """Digest of a syntax tree without docstrings, which it drops."""
    for node in ast.walk(tree):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if documented and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()
