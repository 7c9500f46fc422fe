"""The one error class that users are meant to read."""


class VlmscopeError(Exception):
    """Something the user can put right: what happened, where, what to write instead."""

    def __init__(self, what: str, *, where: str = "", instead: str = "") -> None:
        self.what, self.where, self.instead = what, where, instead
        parts = [what]
        if where:
            parts.append(f"  where: {where}")
        if instead:
            parts.append(f"  instead: {instead}")
        super().__init__("\n".join(parts))

    def __reduce__(self) -> tuple:
        return _rebuild, (self.what, self.where, self.instead)


def _rebuild(what: str, where: str, instead: str) -> VlmscopeError:
    return VlmscopeError(what, where=where, instead=instead)
