"""Where the released code keeps the results of a picture, below one folder (mm_neurons.md 5).

sbu/find_mm_neurons/{number}/             pictures counted from 1, in the order of the split
    original_image.png  nouns.json  last_activation
    noun_{noun}/        data.json  mm_neurons  image_tensor  image.png  perturb.json
                        heatmap_{map}.png  mask_{map}.png  activation_L{layer}_u{unit}
"""

import re

from vlmscope.store import files

HOME = "sbu/find_mm_neurons"
# Bytes of a folder's name; file systems take 255.
LONGEST = 200


def image(number: int) -> str:
    """Folder of a picture."""
    return f"{HOME}/{number}"


def noun(word: str) -> str:
    """Folder of a noun; two nouns never share one.

    The released code takes the noun as it is, and stops at a slash [differs: mm_neurons.md 8 B22]. Here slashes and
    what does not print are written by their codes, and with them the percent sign.
    """
    safe = re.sub(r"[%/\\\x00-\x1f\x7f]", lambda found: f"%{ord(found[0]):02X}", word)
    if len(safe.encode()) > LONGEST:
        # Room for the percent sign and the digits behind it.
        safe = safe.encode()[: LONGEST - 16].decode(errors="ignore") + "%" + files.digest_text(word)[:12]
    return f"noun_{safe}"


def shown(name: str) -> str:
    """A map's part of a file name: `10` is the mean of the ten best, `L2_u22` one neuron."""
    return name if name.startswith("L") else f"average_{name}"
