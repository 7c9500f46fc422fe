"""The machine on which the checks of this folder run."""

import platform

import torch

# Set by the option --device (conftest.py).
DEVICE = "cuda"


def lacking() -> str:
    """Why nothing can run here; empty where it can."""
    if DEVICE == "cuda" and not torch.cuda.is_available():
        return f"torch {torch.__version__} finds no GPU; try the checks with --device cpu"
    return ""


def line() -> str:
    """GPU or processor, and versions."""
    import transformers

    if DEVICE == "cuda" and torch.cuda.is_available():
        place = f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"
    else:
        place = f"{platform.machine()} CPU, {torch.get_num_threads()} threads"
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}, Python {platform.python_version()}"
    return f"{place}, {versions}"
