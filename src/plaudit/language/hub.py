"""Where transformers reads a model from: a folder, the user's cache, or a hub that may be out of reach."""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
from collections.abc import Iterator

import safetensors
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import enable_progress_bars
from huggingface_hub.utils import logging as hub_logging
from transformers.utils import logging as transformers_logging

from plaudit.language.bundled import NAME, bundled_model
from plaudit.types import PlauditError

UNREADABLE = (OSError, ValueError, KeyError, ImportError, safetensors.SafetensorError)  # the last: damaged weights
LINE = 300  # characters of a reason
TIMEOUT = 10.0  # seconds until the hub's first reply
PANIC = "PanicException"  # of a library in Rust; it derives from BaseException and cannot be imported


class FaultyModel(Exception):
    """A model's files are damaged or do not belong together; the message says what to do."""


@contextlib.contextmanager
def resolve_name(model: str) -> Iterator[str]:
    """The name by which transformers reads a model. If the hub is out of reach, it reads from this machine only.

    Raises:
        PlauditError: the model cannot be read; the reason as one line.
    """
    name = str(bundled_model()) if model == NAME else model
    offline = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = offline or not (os.path.isdir(name) or _is_reachable(name))
    try:
        with quiet():
            yield name
    except PlauditError:
        raise
    except FaultyModel as error:
        raise PlauditError(f"model {model}: {error}") from error
    except BaseException as error:  # transformers and a damaged file may raise anything
        if not isinstance(error, Exception) and type(error).__name__ != PANIC:
            raise
        raise PlauditError(f"model {model}: {_reason(error)}") from error
    finally:
        constants.HF_HUB_OFFLINE = offline


def _reason(error: BaseException) -> str:
    """The first line of an error's message, and a way out."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [repr(error)]
    line = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    line = line[:LINE] + ("..." if len(line) > LINE else "")
    if "custom code" in line:
        return (
            "its files bring Python code of its author's: --trust-remote-code runs it (from a program: "
            "trust_remote_code=True). Read it before"
        )
    line += "" if line[-1] in ".!?:" else "."
    if isinstance(error, pickle.UnpicklingError):
        return "its .bin file holds Python objects other than tensors, which are never run: ask for its .safetensors"
    if isinstance(error, KeyError):
        line = f"its files name or lack {line.removesuffix('.')}, which transformers needs to know."
    if isinstance(error, UNREADABLE):
        return f"{line} Name a folder, a hub id that can be reached, or {NAME}"
    return f"its files cannot be read ({type(error).__name__}: {line}): copy them again, or name another model"


def _is_reachable(name: str) -> bool:
    """Whether the hub replies, also with a refusal.

    Tested once, because transformers requests each file several times: it would wait half a minute for a hub that is
    out of reach, even if the model is in the cache.
    """
    try:
        HfApi().model_info(name, timeout=TIMEOUT)
    except (HfHubHTTPError, ValueError):
        return True  # refused, or no valid name: transformers has the better message
    except Exception:  # raised by the hub's HTTP library, which has been three libraries so far
        return False
    return True


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers' progress bars and warnings while a model loads; Plaudit reports what matters."""
    level, hub = transformers_logging.get_verbosity(), hub_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    hub_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    if sys.stderr.isatty():
        enable_progress_bars()  # of the hub only: a download takes minutes
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        hub_logging.set_verbosity(hub)
        transformers_logging.enable_progress_bar()
