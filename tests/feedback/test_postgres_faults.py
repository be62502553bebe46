"""A server that goes away, says no, is full, or loses a reply: one clear line, and nothing acknowledged is lost."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import DisconnectionError

from plaudit.feedback.store import Store, StoreUnavailable
from plaudit.types import PlauditError

from ..postgres import Server
from .refusals import assert_refused

PASSWORD = "a p@ss/word:%"  # has to be quoted in an address


@pytest.fixture
def ann(postgres: Server) -> Iterator[str]:
    """A user with a password, and no rights to anything."""
    postgres.sql(f"CREATE ROLE ann LOGIN PASSWORD '{PASSWORD}'")
    yield "ann"
    postgres.sql("DROP ROLE ann")


@pytest.fixture
def database(postgres: Server, empty_store: str) -> Iterator[str]:
    """The name of a database with an empty store in it."""
    name = postgres.create(empty_store)
    yield name
    postgres.drop(name)


def waiting(store: Store) -> list[int]:
    """Process ids, at the server, of the others connected to this database."""
    others = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with store.database.read() as connection:
        return [*connection.execute(text(others)).scalars()]


def test_a_server_that_stops_and_comes_back(postgres: Server, postgres_url: str, make: Any) -> None:
    questions, segments = make.pairs(3)
    said = [make.judgement(question) for question in questions]
    with Store.open(postgres_url) as store:
        store.ask(questions, segments)
        store.answer(said[:1])
        postgres.stop()
        try:
            for use in (lambda: store.answer([said[1]]), store.judgements, lambda: store.claim("bob")):
                with assert_refused(store.database.name, "cannot reach", "try again", by=StoreUnavailable):
                    use()
            with assert_refused("cannot reach", by=StoreUnavailable):
                Store.open(postgres_url)
        finally:
            postgres.start()
        assert store.judgements() == said[:1]
        assert [each.status for each in store.answer(said)] == ["duplicate", "accepted", "accepted"]
        postgres.stop("fast")
        postgres.start()
        assert store.judgements() == said and store.open_count() == 0


def test_who_where_and_what_for(postgres: Server, database: str, ann: str) -> None:
    with assert_refused("refuses", "password authentication failed", "check the address, the user, the password"):
        Store.open(postgres.address(database, ann, "wrong"))
    with assert_refused("refuses", "no password supplied"):
        Store.open(postgres.address(database, ann))
    with assert_refused("refuses", 'database "nowhere" does not exist'):
        Store.open(postgres.address("nowhere"))
    with assert_refused("refuses", 'invalid connection option "speed"'):
        Store.open(postgres.address(database) + "&speed=high")
    with assert_refused("cannot reach", "see that the server runs", by=StoreUnavailable):
        Store.open("postgresql://ann@127.0.0.1:1/plaudit")
    postgres.sql(f"ALTER DATABASE {database} CONNECTION LIMIT 0")
    with assert_refused("too many connections", "try again", by=StoreUnavailable):
        Store.open(postgres.address(database, ann, PASSWORD))


def test_a_password_is_never_repeated(postgres: Server, database: str, ann: str) -> None:
    for address in (
        postgres.address(database, ann, "secret"),
        postgres.address(database, ann) + "&password=secret",
        "postgresql://ann:secret@127.0.0.1:1/plaudit",
        "postgresql://ann:secret@127.0.0.1:port/plaudit",
    ):
        with pytest.raises(PlauditError) as caught:
            Store.open(address)
        assert "secret" not in str(caught.value)
    with assert_refused("not an address", "postgresql://USER:PASSWORD@HOST:PORT/NAME"):
        Store.open("postgresql://ann:secret@127.0.0.1:port/plaudit")


def test_there_is_no_store_yet(postgres: Server) -> None:
    name = postgres.create()
    with assert_refused("no feedback store in", name, "check the address"):
        Store.open(postgres.address(name), create=False)
    Store.open(postgres.address(name)).close()
    Store.open(postgres.address(name), create=False).close()
    postgres.drop(name)


def test_another_programs_tables_are_left_alone(postgres: Server) -> None:
    name = postgres.create()
    postgres.sql("CREATE TABLE recipes (name text)", name)
    with assert_refused("not a Plaudit store", name):
        Store.open(postgres.address(name))
    assert postgres.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", name) == [("recipes",)]
    postgres.drop(name)


def test_a_store_from_a_newer_version(postgres: Server, database: str) -> None:
    postgres.sql("UPDATE alembic_version SET version_num = '9999'", database)
    with assert_refused(database, "another version of Plaudit", "9999", "upgrade Plaudit"):
        Store.open(postgres.address(database))


def test_text_has_to_be_unicode(postgres: Server) -> None:
    for encoding in ("LATIN1", "SQL_ASCII"):
        name = postgres.create(more=f"ENCODING '{encoding}'")
        with assert_refused(name, f"holds text as {encoding}", "make one with ENCODING 'UTF8'"):
            Store.open(postgres.address(name))
        postgres.drop(name)


def test_a_reader_reads(postgres: Server, database: str, ann: str, make: Any) -> None:
    questions, segments = make.pairs(2)
    said = make.judgement(questions[0])
    with Store.open(postgres.address(database)) as store:
        store.ask(questions, segments)
        store.answer([said])
    for right in ("USAGE ON SCHEMA public", "SELECT ON ALL TABLES IN SCHEMA public"):
        postgres.sql(f"GRANT {right} TO ann", database)
    with Store.open(postgres.address(database, ann, PASSWORD)) as store:
        assert store.judgements() == [said] and store.questions([questions[1].id]) == questions[1:]
        with assert_refused("refuses (permission denied", "its rights"):
            store.answer([make.judgement(questions[1])])
        with assert_refused("refuses (permission denied"):
            store.claim("ann")
    postgres.sql("DROP OWNED BY ann", database)


def test_a_standby_reads(postgres: Server, make: Any) -> None:
    """A server that follows another one may be read, by reports say; writing goes to the other."""
    questions, segments = make.pairs(1)
    server = Server(postgres.programs)
    address = server.address(server.create())
    with Store.open(address) as store:
        store.ask(questions, segments)
    server.stop("fast")
    (server.data / "standby.signal").touch()
    server.start()
    with Store.open(address) as store:
        assert store.questions([questions[0].id]) == questions
        with assert_refused("may only be read", "the server that is written to"):
            store.answer([make.judgement(questions[0])])
    server.close()


def test_tables_that_were_removed(postgres: Server, database: str) -> None:
    with Store.open(postgres.address(database)) as store:
        postgres.sql("DROP TABLE leases", database)
        with assert_refused(database, "damaged or not a Plaudit store", "restore it"):
            store.claim("ann")


def test_nul_in_text(postgres_url: str, make: Any) -> None:
    """JSON may hold it, and PostgreSQL's text may not; a dialogue is stored as bytes."""
    questions, segments = make.pairs(1)
    with Store.open(postgres_url) as store:
        store.ask(questions, segments)
        with assert_refused("cannot store this", "NUL"):
            store.release("a\0")
        store.answer([make.judgement(questions[0])])


def test_waiting_for_ones_turn_has_an_end(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plaudit.feedback.postgres.QUEUE_MS", 50)
    with Store.open(postgres_url) as store, Store.open(postgres_url) as other, store.database.write():
        with assert_refused("is busy (canceling statement due to lock timeout)", by=StoreUnavailable):
            other.release("token")
        assert other.judgements() == []  # readers go on


def test_a_connection_that_was_cut_while_idle_is_replaced(postgres: Server, postgres_url: str) -> None:
    with Store.open(postgres_url) as store, Store.open(postgres_url) as other:
        (pid,) = waiting(other)
        postgres.sql(f"SELECT pg_terminate_backend({pid}, 5000)")  # returns when it has ended
        assert store.open_count() == 0


def test_connections_that_are_cut_before_their_use(postgres_url: str) -> None:
    """The pool gives up after two, with an exception that is none of the database's."""

    def cut(*arguments: Any) -> None:
        raise DisconnectionError("cut")

    with Store.open(postgres_url) as store:
        engine = store.database._engine  # type: ignore[union-attr]
        event.listen(engine, "checkout", cut)
        for use in (lambda: store.claim("bob"), store.judgements, store.open_count):
            with assert_refused(store.database.name, "cannot reach", "try again", by=StoreUnavailable):
                use()
        event.remove(engine, "checkout", cut)
        assert store.open_count() == 0


def test_a_connection_that_is_cut_in_a_transaction(postgres: Server, postgres_url: str, make: Any) -> None:
    questions, segments = make.pairs(1)
    with Store.open(postgres_url) as store:
        with assert_refused("cannot reach", "try again", by=StoreUnavailable), store.database.write() as connection:
            pid = connection.execute(text("SELECT pg_backend_pid()")).scalar()
            postgres.sql(f"SELECT pg_terminate_backend({pid})")
            connection.execute(text("SELECT 1"))
        store.ask(questions, segments)
        assert store.open_count() == 1


class Relay:
    """Stands between a store and its server on a socket of its own, and can lose the next commit or its reply."""

    def __init__(self, server: Server) -> None:
        self.lose: str | None = None  # "commit": it never arrives; "reply": it is done, and nobody hears of it
        self.target = str(server.folder / ".s.PGSQL.5432")
        self.place = server.folder / ".s.PGSQL.5433"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.place))
        self.listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.place.unlink()

    def _accept(self) -> None:
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self.target)
            threading.Thread(target=self._to_server, args=(client, server), daemon=True).start()
            threading.Thread(target=self._to_client, args=(client, server), daemon=True).start()

    def _to_server(self, client: socket.socket, server: socket.socket) -> None:
        with client, suppress(OSError):  # the other direction may have hung up
            while data := client.recv(1 << 16):
                if b"COMMIT\0" in data and self.lose:
                    if self.lose == "commit":
                        self.lose = None
                        break
                    self.lose = "this reply"
                server.sendall(data)
            server.shutdown(socket.SHUT_RDWR)
            client.shutdown(socket.SHUT_RDWR)

    def _to_client(self, client: socket.socket, server: socket.socket) -> None:
        with server, suppress(OSError):
            while data := server.recv(1 << 16):
                if self.lose == "this reply":
                    self.lose = None
                    client.shutdown(socket.SHUT_RDWR)
                    break
                client.sendall(data)


@pytest.mark.parametrize(("lost", "then"), [("commit", "accepted"), ("reply", "duplicate")])
def test_a_judgement_is_sent_again_when_no_reply_came(
    postgres: Server, database: str, make: Any, lost: str, then: str
) -> None:
    """Whether the commit or only its reply was lost, sending it again by its id leaves one judgement."""
    questions, segments = make.pairs(1)
    said = make.judgement(questions[0])
    relay = Relay(postgres)
    with Store.open(postgres.address(database) + "&port=5433") as store:
        store.ask(questions, segments)
        relay.lose = lost
        with assert_refused("cannot reach", by=StoreUnavailable):
            store.answer([said])
        assert relay.lose is None
        assert store.answer([said])[0].status == then
        assert [event.judgement for event in store.events()] == [said] and store.open_count() == 0
    relay.close()


def test_connections_cut_at_random_lose_nothing_acknowledged(postgres: Server, postgres_url: str, make: Any) -> None:
    """Three annotators judge and try again by the id, while connections are cut and the server crashes twice."""
    questions, segments = make.pairs(100)
    acknowledged: dict[str, str] = {}
    troubles: list[str] = []
    with Store.open(postgres_url) as store:
        store.ask(questions, segments)

        def patiently(use: Any, *arguments: Any) -> Any:
            while True:
                try:
                    return use(*arguments)
                except StoreUnavailable as error:
                    troubles.append(str(error))
                    time.sleep(0.01)

        def annotate(name: str) -> None:
            while leases := patiently(store.claim, name, 1):
                said = make.judgement(leases[0].question, name)
                acknowledged[said.id] = patiently(store.answer, [said])[0].status

        threads = [threading.Thread(target=annotate, args=(name,)) for name in ("ann", "bob", "cyd")]
        for thread in threads:
            thread.start()
        kills = 0
        while any(thread.is_alive() for thread in threads):
            kills += 1
            if kills in (10, 30):
                postgres.stop()
                postgres.start()
            cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'plaudit' LIMIT 1"
            postgres.sql(cut)
            time.sleep(0.01)
        # the last cut may come as late as now
        events = {event.judgement.id: event for event in patiently(lambda: list(store.events()))}
        assert acknowledged.keys() == events.keys() and troubles
        # a claim whose reply was lost leaves a lease nobody works on; who holds it is not asked again while it lives
        assert len(patiently(store.judgements)) == len({event.judgement.question for event in events.values()})
        assert all(len(each) > 0 and "\n" not in each for each in troubles)
        assert patiently(store.open_count) + len(events) == 100


@pytest.fixture
def small_disk(postgres: Server, empty_store: str) -> Iterator[str]:
    """A database on a disk of 12 MB, or a skip where none can be mounted."""
    place = postgres.folder / "disk"
    place.mkdir()
    if not shutil.which("mount"):
        pytest.skip("there is no mount here")
    mount = ["mount", "-t", "tmpfs", "-o", "size=12m,mode=777", "tmpfs", str(place)]
    if subprocess.run(mount, stderr=subprocess.DEVNULL, check=False).returncode:
        place.rmdir()
        pytest.skip("only root may mount a small disk")
    try:
        space = place / "space"
        space.mkdir()
        if postgres.user is not None:
            shutil.chown(space, postgres.user)
        postgres.sql(f"CREATE TABLESPACE small LOCATION '{space}'")
        name = postgres.create(empty_store, "TABLESPACE small")
        yield postgres.address(name)
        postgres.drop(name)
        postgres.sql("DROP TABLESPACE small")
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
        place.rmdir()


def test_a_full_disk_keeps_what_it_acknowledged(small_disk: str, make: Any) -> None:
    acknowledged: list[str] = []
    with Store.open(small_disk) as store:
        with assert_refused("no room to write", "free some disk space", by=StoreUnavailable):
            while True:
                questions, segments = make.pairs(5)
                store.ask(questions, [*segments, *make.segments(200)])
                acknowledged += [each.id for each in store.answer([make.judgement(each) for each in questions])]
        assert acknowledged and [event.judgement.id for event in store.events()] == acknowledged
