"""Where a picture shows what a text names (multimodal_sae.md 2.10)."""

from functools import cached_property
from typing import Any, Protocol

import numpy as np
from PIL import Image

from vlmscope.errors import VlmscopeError
from vlmscope.multimodal_sae import oracle
from vlmscope.multimodal_sae.oracle import Truth


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
    """

    def __init__(self, detector: str, sam: str, *, size: int, threshold: float, device: str) -> None:
        for name, folder in (("detector", detector), ("sam", sam)):
            if not folder:
                raise VlmscopeError(
                    "There is no checkpoint to segment with.",
                    where=f"multimodal_sae.explain.{name}",
                    instead="a folder with IDEA-Research/grounding-dino-base or facebook/sam-vit-huge",
                )
        self.folders, self.size, self.threshold, self.device = (detector, sam), size, threshold, device

    @cached_property
    def _models(self) -> tuple[Any, Any, Any, Any]:
        """Detector, its processor, segmenter, its processor."""
        import transformers as hf

        detector, sam = self.folders
        options = {"local_files_only": True}
        # Processors of Pillow: the others need torchvision.
        words = hf.AutoTokenizer.from_pretrained(detector, **options)
        look = hf.GroundingDinoProcessor(hf.GroundingDinoImageProcessorPil.from_pretrained(detector, **options), words)
        cut = hf.SamProcessor(hf.SamImageProcessorPil.from_pretrained(sam, **options))
        kinds = ((hf.GroundingDinoForObjectDetection, detector), (hf.SamModel, sam))
        found = [kind.from_pretrained(folder, use_safetensors=True, **options) for kind, folder in kinds]
        finder, cutter = (one.to(self.device).eval().requires_grad_(False) for one in found)
        return finder, look, cutter, cut

    def find(self, image: int, picture: Image.Image, text: str) -> np.ndarray | None:
        """All candidates of all boxes together."""
        squashed = picture.convert("RGB").resize((self.size, self.size), Image.Resampling.BICUBIC)
        boxes = self._boxes(squashed, text.rstrip(".") + ".")
        return joined(self._candidates(squashed, boxes)) if boxes else None

    def _boxes(self, picture: Image.Image, text: str) -> list[list[float]]:
        finder, process, _, _ = self._models
        given = process(images=picture, text=text, return_tensors="pt").to(self.device)
        side = [(self.size, self.size)]
        found = process.post_process_grounded_object_detection(
            finder(**given), given["input_ids"], threshold=self.threshold, target_sizes=side
        )
        return found[0]["boxes"].tolist()

    def _candidates(self, picture: Image.Image, boxes: list[list[float]]) -> np.ndarray:
        _, _, cutter, process = self._models
        given = process(picture, input_boxes=[boxes], return_tensors="pt").to(self.device)
        sizes = (given["original_sizes"].cpu(), given["reshaped_input_sizes"].cpu())
        return process.image_processor.post_process_masks(cutter(**given).pred_masks.cpu(), *sizes)[0].numpy()


def joined(candidates: np.ndarray) -> np.ndarray:
    """Every pixel that any candidate of any box has, bool [height, width] of [box, candidate, height, width]."""
    return candidates.astype(bool).any(axis=(0, 1))
