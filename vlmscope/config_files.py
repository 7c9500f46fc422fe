"""The files printed from the configuration's classes: `config.yaml`, commented, and `config.schema.json`."""

import json
from typing import Any

import yaml

from vlmscope.config import Config, Section, default


def schema_text() -> str:
    """JSON schema of the configuration (`config.schema.json`)."""
    return json.dumps(Config.model_json_schema(), indent=2, ensure_ascii=True) + "\n"


HEAD = """\
# The embedded default: tiny trained models on a drawn world, offline, minutes on two cores.
# Printed from vlmscope/config.py (python -m vlmscope config); a test keeps both in step.
# Change a value here, or lay a file over it: snakemake TARGET --configfile mine.yaml
"""


def default_text() -> str:
    """The commented `config.yaml`."""
    return HEAD + "\n".join(_yaml_lines(default(), 0)) + "\n"


def _yaml_lines(section: Section, depth: int) -> list[str]:
    """YAML lines of a section, each key under its one-sentence description."""
    pad, lines = "  " * depth, []
    for key, field in type(section).model_fields.items():
        value = getattr(section, key)
        lines.append(f"{pad}# {field.description}")
        lines += _entry(key, value, depth)
    return lines


def _entry(key: str, value: Any, depth: int) -> list[str]:
    pad = "  " * depth
    if isinstance(value, Section):
        return [f"{pad}{key}:", *_yaml_lines(value, depth + 1)]
    if isinstance(value, dict) and value and any(isinstance(one, Section | list) for one in value.values()):
        lines = [f"{pad}{key}:"]
        for name, one in value.items():
            lines += _named(name, one, depth + 1)
        return lines
    if isinstance(value, list) and any(isinstance(one, Section) for one in value):
        return [f"{pad}{key}:", *[f"{pad}  - {_flow(one)}" for one in value]]
    return [f"{pad}{key}: {_flow(value)}"]


def _named(name: str, value: Any, depth: int) -> list[str]:
    """One entry of a catalogue: long descriptions are left to the schema, only values that differ are shown."""
    pad = "  " * depth
    if isinstance(value, list):
        return [f"{pad}{name}:", *[f"{pad}  - {_flow(one)}" for one in value]]
    lines = [f"{pad}{name}:"]
    for key, one in value.model_dump(mode="json").items():
        if isinstance(one, list) and one and isinstance(one[0], dict):
            lines += [f"{pad}  {key}:", *[f"{pad}    - {_flow(row)}" for row in one]]
        else:
            lines.append(f"{pad}  {key}: {_flow(one)}")
    return lines


def _flow(value: Any) -> str:
    if isinstance(value, Section):
        value = value.model_dump(mode="json")
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000)
    return text.removesuffix("\n").removesuffix("\n...")
