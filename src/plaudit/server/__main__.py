"""``python -m plaudit.server SETTINGS``: the web app as the child of a training run; see ``serve``."""

import gc
import importlib
import sys

if __name__ == "__main__":
    # Imports create millions of objects that live until the end. Searching them for garbage takes a quarter of the time
    # that a server needs to start; `serve` looks for garbage once everything is loaded, and less often from then on.
    gc.disable()
    serve = importlib.import_module("plaudit.server.serve")
    gc.enable()
    sys.exit(serve.child(sys.argv[1], sys.stdin))
