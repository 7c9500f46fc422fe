"""What this system reads of a capture; apart, since the plan is checked before every job and must start at once."""

from collections.abc import Iterable

# What counts as activation -> take of the capture that holds it (mm_neurons.md 2.1).
TAKES = {"act_fn": "mlp_gate.emitting.values", "down_proj_input": "mlp_hidden.emitting.values"}


def takes(activations: Iterable[str]) -> list[dict[str, str]]:
    """Takes that a capture needs for these activations."""
    return [dict(zip(("site", "where", "keep"), TAKES[one].split("."), strict=True)) for one in activations]
