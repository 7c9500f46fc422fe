"""Where a picture shows what a text names (multimodal_sae.md 2.10)."""

import math
import os
import tempfile
import weakref
from collections.abc import Callable
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from PIL import Image

from vlmscope.multimodal_sae.explain import oracle
from vlmscope.multimodal_sae.explain.oracle import Truth


class Segmenter(Protocol):
    """Finds what a text names."""

    def find(self, image: int, picture: Image.Image, text: str) -> np.ndarray | None:
        """Pixels in the squashed picture, bool [size, size]; None where nothing was found.

        image     number in the cache
        picture   as it is
        """
        ...


class TrueMasks:
    """Ground-truth masks: the instances of which all known words of the text are true."""

    def __init__(self, truth: Truth, size: int) -> None:
        self.truth, self.size, self.words = truth, size, truth.words

    def find(self, image: int, picture: Image.Image, text: str) -> np.ndarray | None:
        """Pixels of those instances."""
        return self.truth.region(image, oracle.known(text, self.words), self.size)


class Grounded:
    """Grounding DINO finds boxes, SAM what is inside of them.

    detector, sam   folders of checkpoints that transformers loads
    threshold       least score of a box
    work            folder with room for what SAM's encoder makes of pictures, 2 MB each; "" for that of the system
    """

    def __init__(self, detector: str, sam: str, *, size: int, threshold: float, device: str, work: str = "") -> None:
        self.folders, self.size, self.threshold, self.device = (detector, sam), size, threshold, device
        self.seen = Seen(work)

    @cached_property
    def _models(self) -> tuple[Any, Any, Any, Any]:
        """Detector, its processor, segmenter, its processor."""
        import transformers as hf

        detector, sam = self.folders
        options = {"local_files_only": True}
        # Processors of Pillow: the others need torchvision.
        words = hf.AutoTokenizer.from_pretrained(detector, **options)
        look = hf.GroundingDinoProcessor(hf.GroundingDinoImageProcessorPil.from_pretrained(detector, **options), words)
        cut = hf.SamImageProcessorPil.from_pretrained(sam, **options)
        kinds = ((hf.GroundingDinoForObjectDetection, detector), (hf.SamModel, sam))
        found = [kind.from_pretrained(folder, use_safetensors=True, **options) for kind, folder in kinds]
        finder, cutter = (one.to(self.device).eval().requires_grad_(False) for one in found)
        return finder, look, cutter, cut

    def find(self, image: int, picture: Image.Image, text: str) -> np.ndarray | None:
        """All candidates of all boxes together."""
        squashed = picture.convert("RGB").resize((self.size, self.size), Image.Resampling.BICUBIC)
        boxes = self._boxes(squashed, text.rstrip(".") + ".")
        return joined(self._candidates(image, squashed, boxes)) if boxes else None

    def _boxes(self, picture: Image.Image, text: str) -> list[list[float]]:
        finder, process, _, _ = self._models
        given = process(images=picture, text=text, return_tensors="pt").to(self.device)
        side = [(self.size, self.size)]
        found = process.post_process_grounded_object_detection(
            finder(**given), given["input_ids"], threshold=self.threshold, target_sizes=side
        )
        return found[0]["boxes"].tolist()

    def _candidates(self, image: int, picture: Image.Image, boxes: list[list[float]]) -> np.ndarray:
        """Masks bool [box, candidate, size, size]; the encoder, which costs most, sees a picture once."""
        import torch

        _, _, cutter, process = self._models
        side = process.size["longest_edge"]
        known = torch.from_numpy(self.seen.of(image, lambda: self._encoded(picture))).to(self.device, cutter.dtype)
        scaled = torch.tensor([boxes], device=self.device, dtype=cutter.dtype) * side / self.size
        found = cutter(image_embeddings=known, input_boxes=scaled).pred_masks.cpu()
        return process.post_process_masks(found, [(self.size, self.size)], [(side, side)])[0].numpy()

    def _encoded(self, picture: Image.Image) -> np.ndarray:
        _, _, cutter, process = self._models
        given = process(picture, return_tensors="pt")["pixel_values"].to(self.device, cutter.dtype)
        return cutter.get_image_embeddings(given).cpu().numpy()


class Seen:
    """Arrays by number, each made once and kept in a file without a name that vanishes with the run.

    The boxes of all names, and random pictures, come back to the same pictures; thousands of them do not fit into
    memory. Half precision [differs: 2.10]: at 2 MB a picture, what is kept of 46,684 takes 98 GB.
    """

    def __init__(self, folder: str = "") -> None:
        # Unbuffered, and open as long as this is there.
        self.file = tempfile.TemporaryFile(dir=folder or None, buffering=0)  # noqa: SIM115
        weakref.finalize(self, self.file.close)
        self.places: dict[int, tuple[int, tuple[int, ...]]] = {}

    def of(self, number: int, make: Callable[[], np.ndarray]) -> np.ndarray:
        """The array of that number as float16, made now where it is not known."""
        if number not in self.places:
            made = make().astype(np.float16)
            self.places[number] = (self.file.seek(0, os.SEEK_END), made.shape)
            self.file.write(made.tobytes())
        start, shape = self.places[number]
        self.file.seek(start)
        return np.frombuffer(self.file.read(2 * math.prod(shape)), np.float16).reshape(shape).copy()


def joined(candidates: np.ndarray) -> np.ndarray:
    """Every pixel that any candidate of any box has, bool [height, width] of [box, candidate, height, width]."""
    return candidates.astype(bool).any(axis=(0, 1))
