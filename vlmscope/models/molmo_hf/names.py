"""Names of the released Molmo checkpoint and of ours: the same, both ways; this module only checks that it is so."""

from collections.abc import Mapping

from torch import Tensor

from vlmscope.errors import VlmscopeError

PARTS = ("model.transformer.", "model.vision_backbone.")


def from_official(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a released checkpoint as our class holds them."""
    return _known(tensors)


def to_official(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our weights as the release has them."""
    return _known(tensors)


def _known(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    strange = [name for name in tensors if not name.startswith(PARTS)]
    if strange:
        raise VlmscopeError(
            f"These are no weights of Molmo: {', '.join(strange[:3])}.",
            where="the checkpoint",
            instead="files of allenai/Molmo-7B-D-0924 or of a fine-tune of it",
        )
    return dict(tensors)
