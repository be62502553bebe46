"""What every test runs under: shapes and types checked, temporary files in memory, one thread, no network."""

import contextlib
import gc
import getpass
import importlib
import importlib.util
import multiprocessing
import os
import subprocess
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

# Before anything imports torch or numpy: small networks are faster on one thread, and the tests run in parallel.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MPLBACKEND"] = "Agg"
# Processes that tests start sign run folders with one secret, which is not the user's.
os.environ["PLAUDIT_STATE"] = os.path.join(tempfile.gettempdir(), f"plaudit-tests-{getpass.getuser()}")

import pytest
from hypothesis import HealthCheck, settings
from matplotlib.figure import Figure

from .memory import keep_files_in_memory
from .missing import pytest_sessionfinish
from .postgres import EmptyStores, Server, find_programs
from .processes import CONTEXT, ServerChild, serve_forks
from .shapes import check_shapes, pytest_configure, pytest_runtest_setup

__all__ = ["pytest_configure", "pytest_runtest_setup", "pytest_sessionfinish"]
keep_files_in_memory()
# Imports create millions of objects that live until the end. Searching them for garbage again and again takes seconds,
# so the collector starts when the tests are collected, and then skips everything that exists by that time.
gc.disable()
ROOT = Path(__file__).resolve().parents[1]

check_shapes()  # before anything imports plaudit

# A busy machine is no reason to fail, so no deadline.
settings.register_profile("plaudit", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("plaudit")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that at the end no worker computes alone for half a minute."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.hookimpl(wrapper=True, tryfirst=True)  # before pytest sets up how it treats warnings and logs
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    if session.items:  # none where pytest-xdist only hands out the tests
        migrate: Any = importlib.import_module("plaudit.feedback.migrate")  # only now: the hook above must stand first
        migrate.upgrade = importlib.import_module("tests.stores").upgrade
        serve_forks()
    return (yield)


@pytest.fixture(scope="module")
def forked() -> Iterator[None]:
    """A run forks its processes from one that has imported Plaudit. Arguments are pickled, as they are for a start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(multiprocessing, "get_context", lambda method: CONTEXT)
        yield


@contextlib.contextmanager
def forking_servers() -> Iterator[None]:
    serve = importlib.import_module("plaudit.server.serve")
    module = SimpleNamespace(Popen=ServerChild, PIPE=subprocess.PIPE, TimeoutExpired=subprocess.TimeoutExpired)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serve, "subprocess", module)
        yield


@pytest.fixture
def forked_servers() -> Iterator[None]:
    """Web apps that run beside something are forked, too."""
    with forking_servers():
        yield


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a tracker called recorder gets: `--track recorder`."""
    track, entries = importlib.import_module("plaudit.run.track"), []

    class Recorder:
        def __init__(self, module: object, identity: object) -> None:
            self.log = entries.append

        def close(self) -> None:
            pass

    monkeypatch.setitem(track.TRACKERS, "recorder", track.Service("json", Recorder))
    return entries


SAVE_FIGURE = Figure.savefig


@pytest.fixture(scope="module")
def blank_figures() -> Iterator[None]:
    """Figures are composed and not drawn: drawing takes two thirds of the time of a report, half of a short run's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", save_blank)
        yield


def save_blank(figure: Figure, file: Any, **settings: Any) -> None:
    file.write('<svg viewBox="0 0 1 1"><defs></defs></svg>')


@pytest.fixture
def blank_figures_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for one test of a module that draws its figures."""
    monkeypatch.setattr(Figure, "savefig", save_blank)


@pytest.fixture
def drawn_figures(blank_figures: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are drawn in one test of a module that leaves them blank."""
    monkeypatch.setattr(Figure, "savefig", SAVE_FIGURE)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of human data beside the checkout, or a skip where there is none."""
    folder = Path(os.environ.get("PLAUDIT_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no human data at {folder}: set PLAUDIT_DATA to the folder that holds knox/")
    return folder


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server, or a skip where its programs are missing."""
    programs = find_programs()
    if programs is None:
        pytest.skip("no PostgreSQL here (initdb, pg_ctl, postgres): install it, on Debian by apt install postgresql")
    if importlib.util.find_spec("psycopg") is None:
        pytest.skip("no psycopg here: pip install -e '.[postgres]'")
    server = Server(programs, fsync="off")  # what tests kill is its processes, not the machine
    yield server
    server.close()


@pytest.fixture(scope="session")
def empty_store(postgres: Server) -> str:
    """The name of a database that holds an empty store, to copy."""
    from plaudit.feedback.store import Store  # only now: the hook above must stand first

    name = postgres.create()
    Store.open(postgres.address(name)).close()
    return name


@pytest.fixture(scope="session")
def empty_stores(postgres: Server, empty_store: str) -> EmptyStores:
    """Databases that each hold an empty store, for one test after another."""
    return EmptyStores(postgres, empty_store)


@pytest.fixture
def postgres_url(postgres: Server, empty_stores: EmptyStores) -> Iterator[str]:
    """The address of a database of the test's own, with an empty store in it."""
    name = empty_stores.take()
    yield postgres.address(name)
    empty_stores.give_back(name)


@pytest.fixture(scope="session")
def empty_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store in a file, to copy: that takes less time than making one."""
    from plaudit.feedback.store import Store  # only now: the hook above must stand first

    path = tmp_path_factory.mktemp("empty") / "feedback.sqlite"
    Store.open(path).close()
    return path
