"""Who talks: a model of the catalogue in this process, or a server."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from PIL import Image

from vlmscope.models import answer, inputs
from vlmscope.models.load import Loaded, load
from vlmscope.multimodal_sae.explain.naming import Talker

# Most new tokens where the caller sets no limit.
LONG = 512


class Local:
    """A model of the catalogue."""

    def __init__(self, loaded: Loaded) -> None:
        self.loaded = loaded

    def say(self, system: str, parts: Sequence[str | Image.Image], most: int = 0) -> str:
        """The greedy answer; words of the system stand before those of the user."""
        pictures = [part for part in parts if not isinstance(part, str)]
        words = [part if isinstance(part, str) else "<image>" for part in parts]
        prompt = self.loaded.family.chat(" ".join(filter(None, [system, *words])))
        if pictures:
            given = inputs.encode(self.loaded, [prompt], pictures, side="left")
        else:
            given = dict(self.loaded.processor.tokenizer(prompt, return_tensors="pt").to(self.loaded.device))
            given.pop("token_type_ids", None)
        return answer.text_of(self.loaded, answer.new_tokens(self.loaded, given, most or LONG)[0])


def of(
    settings: Mapping[str, Any], model: Sequence[str], server: Callable[..., Talker], device: str
) -> Callable[[str], Talker | None]:
    """Role -> who talks: `local` and `server` explain; refiner, labeller and judge as the settings say.

    model    manifest of the local model; none where nobody asks it
    server   makes a client of url, model and key
    """

    @cache
    def local() -> Talker:
        return Local(load(model[0], device))

    @cache
    def talker(role: str) -> Talker | None:
        if role == "local":
            return local()
        who = settings["explainer"] if role == "server" else settings[role]
        if who["by"] == "local":
            return local()
        return server(who["url"], who["model"], who["key"]) if who["by"] == "server" else None

    return talker
