"""The device that models run on, and what the libraries print there."""

from __future__ import annotations

import logging
import os


def torch_device() -> str:
    """ "cuda" if torch can use a CUDA device, else "cpu"."""
    import torch  # here: processes that need no model start faster without it

    # asks the driver's library instead of starting CUDA, which would read CUDA_VISIBLE_DEVICES for good
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    return "cuda" if torch.cuda.is_available() else "cpu"


def quiet_transformers() -> None:
    """Switch off transformers' progress bars, and the note on CPUs of DeepSpeed, which it loads.

    The bars take a second each and fill the log of a run. Those of downloads are switched off too.
    """
    from transformers.utils import logging as bars

    bars.disable_progress_bar()
    logging.getLogger("DeepSpeed").addFilter(_is_error)  # it sets its level itself, when it is imported


def _is_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR
