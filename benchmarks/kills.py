"""Does a kill lose a judgement? The web app's server is killed again and again while simulated annotators judge on it.

    python benchmarks/kills.py                          # 200 kills, SQLite
    python benchmarks/kills.py --postgres               # PostgreSQL, which is killed too in every third round
    python benchmarks/kills.py --kills 8 --keep         # a trial that leaves the committed table alone

A kill is SIGKILL at a random moment; the next server starts on the same store and port. The annotators
(`annotators.py`) send again, under the same id, whatever was not acknowledged. Afterwards everything that was
acknowledged is looked for in the store. Writes results/kills.json and results/kills.md, and exits with 1 where a
judgement was lost or doubled, or anything else is not as it should be. How fast the machine is does not matter.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

import httpx
from annotators import Plan
from serve import PROJECT, RESULTS, check, children, fill
from sqlalchemy import select

from plaudit.feedback.schema import LEASES, QUESTIONS
from plaudit.feedback.schema_people import REPEATS
from plaudit.feedback.store import Claim, Store
from plaudit.server.security import COOKIE
from plaudit.server.serve import ServerProcess, serve_beside
from plaudit.server.settings import ServerConfig

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.postgres import Server, find_programs

ANNOTATORS, RATE = 12, 24.0  # judgements a second of all together
UP = (0.05, 1.5)  # seconds that a server lives after it answers
ROUND = 5.0  # seconds from kill to kill on a slow machine, in the mean: for so long there must be questions
SHIFT = 20.0  # seconds that the annotators work at a stretch, at most
PATIENCE = 60.0  # seconds that a server may take to answer again
DATABASE_EVERY = 3  # rounds


@dataclass
class Served:
    """A server on a fixed port that can be killed, and the database behind it where that can be killed too."""

    config: ServerConfig
    log: Path
    session: str  # of somebody, to ask whether the server answers
    database: Server | None
    beside: ServerProcess | None = None
    seconds: list[float] = field(default_factory=list)  # from each kill until an answer

    def start(self) -> None:
        """Start, and wait until a request that needs the store is answered."""
        self.beside = serve_beside(self.config, self.log)
        self.config = replace(self.config, port=int(self.beside.links.url.rstrip("/").rsplit(":", 1)[1]))
        deadline = time.monotonic() + PATIENCE
        with self.browser(self.session) as client:
            while client.get("/api/me").status_code != 200:
                if time.monotonic() > deadline:
                    raise SystemExit(f"no answer for {PATIENCE:.0f} s: see {self.log}")
                time.sleep(0.01)

    def browser(self, session: str) -> httpx.Client:
        """A client that is signed in."""
        return httpx.Client(
            base_url=self.config.url, cookies={COOKIE: session}, headers={"Origin": self.config.url}, timeout=30
        )

    def kill(self) -> None:
        """The server, without a word."""
        assert self.beside is not None
        self.beside.process.kill()
        self.beside.close()  # closes its pipes

    def round(self, also_database: bool, pause: float) -> None:
        """Kill and start again; the database first, or last, or not at all."""
        began = time.monotonic()
        if also_database and self.database is not None:
            first = pause > 0
            if first:
                kill_database(self.database)
                time.sleep(pause)  # the server goes on without it for so long
            self.kill()
            if not first:
                kill_database(self.database)
            start_database(self.database)
        else:
            self.kill()
        self.start()
        self.seconds.append(time.monotonic() - began)


def kill_database(server: Server) -> None:
    """PostgreSQL's first process and all its children, which could not begin anything new meanwhile."""
    first = int((server.data / "postmaster.pid").read_text().split()[0])
    os.kill(first, signal.SIGSTOP)
    for process in children(first):
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            continue  # a connection that has just ended
    while Path(f"/proc/{first}").exists() and b"\nState:\tZ" not in Path(f"/proc/{first}/status").read_bytes():
        time.sleep(0.01)


def start_database(server: Server) -> None:
    """It refuses while a process of the one before is not quite gone."""
    for last in (False, False, False, True):
        try:
            return server.start()
        except RuntimeError:
            if last:
                raise
            time.sleep(1.0)


@contextmanager
def databases(folder: Path, postgres: bool) -> Iterator[tuple[str, str, Server | None]]:
    """A new, empty database: what it is called, its address, and the server that it is on."""
    if not postgres:
        yield f"SQLite {sqlite3.sqlite_version}", str(folder / "feedback.sqlite"), None
        return
    programs = find_programs()
    if programs is None:
        raise SystemExit(
            "no PostgreSQL here (initdb, pg_ctl, postgres): install it, on Debian by apt install postgresql"
        )
    server = Server(programs)
    try:
        version = str(server.sql("SHOW server_version")[0][0]).split()[0]
        yield f"PostgreSQL {version}", server.address(server.create()), server
    finally:
        server.close()


class Shifts:
    """Annotators at work, one shift after the other, in a process of their own."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan, self.folder = plan, folder
        self.told: list[dict[str, Any]] = []
        self.acknowledged: list[Path] = []
        self.process: subprocess.Popen[str] | None = None

    def keep_going(self) -> None:
        """Begin the next shift where the last one has ended."""
        if self.process is not None and self.process.poll() is None:
            return
        self.finish()
        number = len(self.acknowledged)
        self.acknowledged.append(self.folder / f"acknowledged-{number}")
        plan = replace(self.plan, acknowledged=str(self.acknowledged[-1]), seed=number)
        command = [sys.executable, str(Path(__file__).with_name("annotators.py"))]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(asdict(plan)))
        self.process.stdin.close()
        self.process.stdin = None

    def finish(self) -> None:
        """Wait until the shift has ended."""
        if self.process is None:
            return
        said, _ = self.process.communicate(timeout=self.plan.seconds + 120)
        if self.process.returncode:
            raise SystemExit("annotators.py failed")
        self.told.append(json.loads(said))
        self.process = None


def left_open(served: Served, sessions: list[str]) -> dict[str, int]:
    """Leases that neither their owner can answer after a kill nor anybody gets when they have expired."""
    held = []
    for session in sessions[:4]:
        with served.browser(session) as client:
            body = {"project": PROJECT, "count": 3}
            held.append((session, client.post("/api/work/claim", json=body).raise_for_status().json()))
    served.kill()
    served.start()
    refused = 0
    for session, assignments in held[:2]:
        with served.browser(session) as client:
            for each in assignments:
                body = {
                    "judgement": str(uuid.uuid4()),
                    "question": each["question"],
                    "value": {"strength": 4},
                    "lease": each["lease"],
                }
                refused += client.post("/api/work/answer", json=body).status_code != 200
    served.kill()
    with Store.open(served.config.store) as store:
        waiting = store.waiting()
        later = store.claim(Claim("newcomer", waiting + 1, PROJECT), now=time.time() + 86400)
    if not any(assignments for _, assignments in held):
        raise SystemExit("no question was left to hold: make more of them")
    return {"unanswerable": refused, "never_expired": waiting - len(later)}


def faults(address: str) -> list[str]:
    """What is not whole in the store, apart from judgements."""
    found: list[str] = []
    if "://" not in address:
        with closing(sqlite3.connect(address)) as raw:
            rows = [*raw.execute("PRAGMA integrity_check"), *raw.execute("PRAGMA foreign_key_check")]
        found += [str(row) for row in rows if row != ("ok",)]
    halves = select(QUESTIONS.c.id).where(
        QUESTIONS.c.purpose == "repeat", QUESTIONS.c.id.not_in(select(REPEATS.c.question))
    )
    with Store.open(address) as store, store.database.read() as connection:
        found += [f"repeat {each} of nothing" for each in connection.execute(halves).scalars()]
        seats = Counter(connection.execute(select(LEASES.c.question)).scalars())
    return found + [f"question {each} is leased twice" for each, number in seats.items() if number > 1]


def strain(options: argparse.Namespace) -> dict[str, Any]:
    """Kill as often as asked; what was found."""
    rng = random.Random(options.seed)
    with (
        tempfile.TemporaryDirectory(prefix="plaudit-kills-") as name,
        databases(Path(name), options.postgres) as (called, address, database),
    ):
        folder = Path(name)
        config = ServerConfig(store=address, folder=folder, port=0)
        sessions = fill(config, ANNOTATORS, 200 + int(ROUND * RATE) * options.kills)
        served = Served(config, folder / "log", sessions[0], database)
        served.start()
        plan = Plan("127.0.0.1", served.config.port, PROJECT, sessions, min(SHIFT, 4.0 + options.kills), RATE, "")
        shifts = Shifts(plan, folder)
        databases_killed = 0
        for kill in range(options.kills):
            shifts.keep_going()
            time.sleep(rng.uniform(*UP))
            also = database is not None and kill % DATABASE_EVERY == DATABASE_EVERY - 1
            databases_killed += also
            served.round(also, rng.choice([0.0, rng.uniform(0.01, 0.5)]))
            if options.kills >= 50 and kill % 20 == 19:
                print(f"{called}: {kill + 1} kills", flush=True)
        shifts.finish()
        found = check(address, shifts.acknowledged) | left_open(served, sessions)
        faulty = faults(address)
        statuses: Counter[str] = Counter()
        for each in shifts.told:
            statuses.update({status.split()[1]: count for status, count in each["statuses"].items()})
        log = served.log.read_text()
    if "Traceback" in log:
        faulty.append(f"a traceback in the server's log: {log[log.index('Traceback') :][:2000]}")
    return found | {
        "database": called,
        "kills": options.kills,
        "database_kills": databases_killed,
        "acknowledged": sum(each["acknowledged"] for each in shifts.told),
        "broken": sum(each["broken"] for each in shifts.told),
        "statuses": dict(sorted(statuses.items())),
        "faults": faulty,
        "back_median": median(served.seconds),
        "back_max": max(served.seconds),
    }


def wrong(record: dict[str, Any]) -> list[str]:
    """What is not as it should be."""
    numbers = [
        f"{record[each]} {each}" for each in ("lost", "doubled", "unanswerable", "never_expired") if record[each]
    ]
    # 503 is an answer: the database was away, try again.
    strange = [f"{count} answers {status}" for status, count in record["statuses"].items() if status not in EXPECTED]
    return numbers + strange + record["faults"]


EXPECTED = ("200", "204", "503")
TEXT = f"""# Killing the server

Written by `benchmarks/kills.py`. {ANNOTATORS} simulated annotators judge clips, three questions ahead, on a real server
that is killed (SIGKILL) at random moments and started again on the same store and port; PostgreSQL itself is killed in
every third round. What was not acknowledged is sent again under the same id. Acknowledged judgements were looked for in
the store afterwards: lost are those that are not there, doubled are questions that one person answered twice. Requests
broken off are those that a kill left without an answer. The last two columns are seconds from a kill until a request
is answered again: mostly the start of Python, on a machine that may do other things too.

"""
COLUMNS = (
    "database, kills, of the database too, judgements acknowledged, lost, doubled, requests broken off, "
    "back after: median, max"
)


def table(records: list[dict[str, Any]]) -> str:
    """The committed page."""
    rows = [
        f"| {each['database']} | {each['kills']} | {each['database_kills']} | {each['acknowledged']:,} "
        f"| {each['lost']} | {each['doubled']} | {each['broken']:,} "
        f"| {each['back_median']:.1f} | {each['back_max']:.1f} |"
        for each in records
    ]
    head = f"| {' | '.join(COLUMNS.split(', '))} |\n{'|---' * len(COLUMNS.split(', '))}|\n"
    return TEXT + head + "\n".join(rows) + "\n"


def keep(record: dict[str, Any]) -> None:
    """Put the record in the place of the earlier one of that database."""
    path = RESULTS / "kills.json"
    before = json.loads(path.read_text()) if path.exists() else []
    sort = record["database"].split()[0]
    merged = [each for each in before if each["database"].split()[0] != sort] + [record]
    merged.sort(key=lambda each: each["database"], reverse=True)
    path.write_text(json.dumps(merged, indent=1) + "\n")
    (RESULTS / "kills.md").write_text(table(merged))


def main() -> int:
    """Kill, look, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="1 to 10000")
    parser.add_argument("--postgres", action="store_true", help="on PostgreSQL")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--keep", action="store_true", help="leave results/ as it is")
    options = parser.parse_args()
    if not 1 <= options.kills <= 10_000:
        parser.error("--kills is 1 to 10000")
    record = strain(options)
    if not options.keep:
        keep(record)
    print(json.dumps(record))
    for each in wrong(record):
        print(each, file=sys.stderr)
    return 1 if wrong(record) else 0


if __name__ == "__main__":
    sys.exit(main())
