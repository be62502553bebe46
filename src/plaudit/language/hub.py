"""Where transformers reads a model: a folder, the user's cache, or a hub that may be out of reach."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from huggingface_hub import HfApi, constants
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import enable_progress_bars
from huggingface_hub.utils import logging as hub_logging
from transformers.utils import logging as transformers_logging

from plaudit.language.bundled import NAME, bundled_model
from plaudit.types import PlauditError

PATIENCE = 10.0  # seconds for the hub's first word


@contextlib.contextmanager
def reading(model: str) -> Iterator[str]:
    """The name by which transformers reads a model meanwhile. Where the hub is out of reach it looks on this machine.

    Raises:
        PlauditError: what transformers raised, as one line.
    """
    name = str(bundled_model()) if model == NAME else model
    offline = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = offline or not (os.path.isdir(name) or _reached(name))
    try:
        with quiet():
            yield name
    except (OSError, ValueError, KeyError, ImportError) as error:
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise PlauditError(f"model {model}: {reason} Name a folder, a hub id that can be reached, or {NAME}") from error
    finally:
        constants.HF_HUB_OFFLINE = offline


def _reached(name: str) -> bool:
    """Whether the hub answers, for good or ill. Asked once: transformers asks for each file again and again, and a hub
    out of reach would be waited for half a minute although the model is in the cache, or nowhere."""
    try:
        HfApi().model_info(name, timeout=PATIENCE)
    except (HfHubHTTPError, ValueError):
        return True  # it says no, or the name is none: transformers says so better
    except Exception:  # what the HTTP library of the hub's library raises, and that has been three libraries so far
        return False
    return True


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No bars and warnings of transformers while a model loads: what matters is said by us."""
    level, hub = transformers_logging.get_verbosity(), hub_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    hub_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    if sys.stderr.isatty():
        enable_progress_bars()  # the hub's own: a model that is fetched takes minutes
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        hub_logging.set_verbosity(hub)
        transformers_logging.enable_progress_bar()
