"""Modules of a user, named on the command line or in a run's settings as MODULE:NAME.

Plaudit imports the module, so resuming another user's run runs the module that its settings name. Any package may load
one, so this file stands on the lowest floor.
"""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType
from typing import Any

from plaudit.types import PlauditError


def import_module(name: str) -> ModuleType:
    """Import a module from the search path, or from the current folder.

    Raises:
        PlauditError: there is no such module, or it fails when it is imported.
    """
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # last, so that no file there hides an installed package
        importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise PlauditError(f"there is no module {name!r} here: name one that Python can import") from error
        raise PlauditError(f"module {name!r} needs {error.name}, which is not installed") from error
    except (Exception, SystemExit) as error:  # a user's code can raise anything
        raise PlauditError(f"module {name!r} fails when it is imported: {one_line(error)}") from error


def search_path() -> dict[str, str]:
    """The environment variable by which another Python process finds the modules that this one finds."""
    return {"PYTHONPATH": os.pathsep.join(dict.fromkeys(path for path in sys.path if path))}


def load_object(name: str) -> Any:
    """The object that MODULE:NAME means.

    Raises:
        PlauditError: as :func:`import_module`; the module has nothing of that name.
    """
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise PlauditError(f"{name!r} names no object of a module: write MODULE:NAME")
    loaded = import_module(module)
    if not hasattr(loaded, attribute):
        raise PlauditError(f"module {module!r} has no {attribute!r}: write MODULE:NAME")
    return getattr(loaded, attribute)


def one_line(error: BaseException) -> str:
    """The type and the message of an error, on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
