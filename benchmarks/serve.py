"""How many people the web app serves: simulated annotators judge clips of Duel on a server that starts for this.

    python benchmarks/serve.py                        # 300 annotators, 76 judgements/s, 5 minutes, SQLite
    python benchmarks/serve.py --postgres             # the same on a PostgreSQL server that starts for this
    python benchmarks/serve.py --maximum [--postgres] # faster and faster, until answers are slow
    python benchmarks/serve.py --seconds 20 --keep    # a trial that leaves the committed table alone

Everything is on this machine and listens on the loopback address only. `annotators.py` is the load, in a process of its
own. Writes results/serve.json and results/serve.md, and exits with 1 where a judgement was lost or doubled.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from annotators import AHEAD, ARRIVAL, Plan
from sqlalchemy import insert

from plaudit.control.environments.duel import DuelVector
from plaudit.feedback.schema_people import SESSIONS, USERS
from plaudit.feedback.store import Store
from plaudit.server.asking import Batch, ask
from plaudit.server.passwords import digest, new_token
from plaudit.server.serve import serve_beside
from plaudit.server.services import build_services
from plaudit.server.settings import ServerConfig
from plaudit.types import Segment

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PROJECT = "clips"
STEPS = 25  # of a clip
GOLD = 20  # questions whose answer is known
TICK = os.sysconf("SC_CLK_TCK")
P95, P99 = 100.0, 250.0  # milliseconds
STEP_SECONDS, STEP = 20.0, 1.2  # of --maximum: how long a rate is tried, and by how much the next is higher
HIGHEST = 1000.0  # judgements/s


# What is judged, and by whom


def clips(number: int) -> list[Segment]:
    """That many clips of random play, all different."""
    lanes = 256
    env, rng = DuelVector(lanes), np.random.default_rng(0)
    observation, _ = env.reset(seed=0)
    found: list[Segment] = []
    while len(found) < number:
        rows = []
        for _ in range(STEPS):
            actions = rng.integers(0, env.actions, lanes)
            rows.append((observation, actions, env.states()))
            observation = env.step(actions)[0]
        observations, actions, states = (np.stack(each) for each in zip(*rows, strict=True))
        found += [Segment(observations[:, lane], actions[:, lane], states[:, lane]) for lane in range(lanes)]
    return list({each.id: each for each in found}.values())[:number]


def fill(config: ServerConfig, annotators: int, questions: int) -> list[str]:
    """A project with that many questions, each about two clips of its own; the annotators' sessions."""
    served = build_services(config)
    try:
        store, now = served.store, time.time()
        given = {"name": PROJECT, "title": "Clips", "kind": "comparison", "settings": {"environment": "Duel"}}
        project = served.projects.create("benchmark", given)
        served.projects.add_guideline("benchmark", PROJECT, "Watch **both** clips. Which player does better?")
        segments = clips(2 * (questions + GOLD))
        for start in range(0, len(segments), 2000):
            some = segments[start : start + 2000]
            store.add_items(some)
            pairs = [{"items": [one.id, two.id]} for one, two in zip(some[::2], some[1::2], strict=True)]
            known = {"value": {"strength": 4}}
            asked = [each | {"gold": known} if start == 0 and i < GOLD else each for i, each in enumerate(pairs)]
            ask(store, "benchmark", now, Batch(project, "1", asked, 1))
        tokens = [new_token() for _ in range(annotators)]
        users = [{"name": f"annotator {i}", "role": "annotator", "created_at": now} for i in range(annotators)]
        sessions = [
            {
                "token": digest(token),
                "name": digest(token)[:16],
                "user": user["name"],
                "agent": "benchmark",
                "created_at": now,
                "expires_at": now + 86400,
            }
            for token, user in zip(tokens, users, strict=True)
        ]
        with store.database.write() as connection:
            connection.execute(insert(USERS), users)
            connection.execute(insert(SESSIONS), sessions)
        return tokens
    finally:
        served.store.close()


# What it costs


@dataclass(frozen=True)
class Usage:
    """Processor seconds so far and resident MiB, of some processes together."""

    cpu: float
    mib: float


def usage(processes: list[int]) -> Usage:
    """Of these processes and the ones that they have started and that have ended, as Linux counts them.

    Memory is what each has for itself.
    """
    cpu = mib = 0.0
    for process in processes:
        try:
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            status = Path(f"/proc/{process}/status").read_text()
        except FileNotFoundError:
            continue
        cpu += sum(int(each) for each in fields[11:15]) / TICK  # own, and of children that were waited for
        mib += next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("RssAnon")), 0.0)
    return Usage(cpu, mib)


def children(process: int) -> list[int]:
    """Processes that ``process`` has started, and itself."""
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process)], capture_output=True, text=True, check=False)
    return [process, *(int(each) for each in found.stdout.split())]


def sync_ms(folder: Path) -> float:
    """Median milliseconds in which a page of 4 KiB is on the disk of ``folder``."""
    took = []
    with (folder / "sync").open("wb") as file:
        for _ in range(100):
            began = time.perf_counter()
            file.write(bytes(4096))
            file.flush()
            os.fdatasync(file.fileno())
            took.append(1000 * (time.perf_counter() - began))
    return sorted(took)[50]


# Measuring


@dataclass(frozen=True)
class Database:
    """Where the store lies, and which processes are the database's."""

    name: str
    address: str
    process: int | None = None  # PostgreSQL's first


@contextmanager
def databases(folder: Path, postgres: bool) -> Iterator[Database]:
    """A new, empty database."""
    if not postgres:
        yield Database(f"SQLite {sqlite3.sqlite_version}", str(folder / "feedback.sqlite"))
        return
    sys.path.insert(0, str(HERE.parent))
    from tests.postgres import Server, find_programs

    programs = find_programs()
    if programs is None:
        raise SystemExit(
            "no PostgreSQL here (initdb, pg_ctl, postgres): install it, on Debian by apt install postgresql"
        )
    server = Server(programs, autovacuum="on", shared_buffers="128MB")  # as it comes, unlike in the tests
    try:
        version = str(server.sql("SHOW server_version")[0][0]).split()[0]
        first = int((server.data / "postmaster.pid").read_text().split()[0])
        yield Database(f"PostgreSQL {version}", server.address(server.create()), first)
    finally:
        server.close()


def measure(plan: Plan, app: int, database: Database) -> dict[str, Any]:
    """Simulate ``plan`` on the server whose process is ``app``; what was measured."""
    before = usage([app]), usage(children(database.process) if database.process else [])
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, str(HERE / "annotators.py")], input=json.dumps(asdict(plan)), capture_output=True, text=True
    )
    took = time.monotonic() - began
    if done.returncode:
        raise SystemExit(f"annotators.py failed:\n{done.stderr}")
    after = usage([app]), usage(children(database.process) if database.process else [])
    told = json.loads(done.stdout)
    return told | {
        "database": database.name,
        "annotators": len(plan.sessions),
        "seconds": plan.seconds,
        "asked_rate": plan.rate,
        "server_cores": (after[0].cpu - before[0].cpu) / took,
        "server_mib": after[0].mib,
        "database_cores": (after[1].cpu - before[1].cpu) / took,
        "load_average": os.getloadavg()[0],
    }


def check(store_address: str, acknowledged: list[Path]) -> dict[str, int]:
    """Judgements that were acknowledged and are not in the store, and those that are there twice."""
    told = [line for each in acknowledged for line in each.read_text().split()]
    with Store.open(store_address) as store:
        events = [event.judgement for event in store.events()]
        waiting = store.counts()
    stored = {each.id for each in events}
    twice = Counter((each.question, each.annotator) for each in events)
    return {
        "lost": len(set(told) - stored),
        "doubled": sum(number > 1 for number in twice.values()) + len(told) - len(set(told)),
        "surplus": waiting.surplus,
        "left_open": waiting.open,
    }


def measure_all(options: argparse.Namespace) -> list[dict[str, Any]]:
    """The rates that were asked for, one after the other on one server."""
    rates = [options.rate]
    while options.maximum and rates[-1] * STEP <= HIGHEST:
        rates.append(rates[-1] * STEP)
    seconds = STEP_SECONDS if options.maximum else options.seconds
    answered_first = (AHEAD + ARRIVAL + 2) * options.annotators  # before it is measured, and what pages hold
    if options.maximum:  # enough for as long as it may go well
        questions = int(sum(each * seconds + answered_first for each in rates[:9]))
    else:
        questions = int(options.rate * seconds + answered_first)
    records: list[dict[str, Any]] = []
    with (
        tempfile.TemporaryDirectory(prefix="plaudit-serve-") as name,
        databases(Path(name), options.postgres) as database,
    ):
        folder = Path(name)
        config = ServerConfig(store=database.address, folder=folder, port=0)
        print(f"{database.name}: writing {questions:,} questions", flush=True)
        sessions = fill(config, options.annotators, questions)
        facts = {"cores": os.cpu_count(), "python": platform.python_version(), "sync_ms": sync_ms(folder)}
        acknowledged: list[Path] = []
        with serve_beside(config, folder / "log") as server:
            url = urlsplit(server.links.url)
            print(f"process {server.process.pid} serves at {server.links.url}", flush=True)
            for number, rate in enumerate(rates):
                acknowledged.append(folder / f"acknowledged-{number}")
                plan = Plan(
                    str(url.hostname),
                    int(url.port or 0),
                    PROJECT,
                    sessions,
                    seconds,
                    rate,
                    str(acknowledged[-1]),
                    seed=number,
                )
                record = measure(plan, server.process.pid, database) | facts | {"maximum": options.maximum}
                records.append(record)
                print(line(record), flush=True)
                if options.maximum and not good(record):
                    break
            log = (folder / "log").read_text()
        found = check(database.address, acknowledged)
        print(json.dumps(found), flush=True)
        if log:
            print(f"the server's log:\n{log[-3000:]}")
        return [each | found for each in records]


def errors(record: dict[str, Any]) -> int:
    """Requests that got no answer, or none below 400."""
    failed = sum(count for name, count in record["statuses"].items() if int(name.split()[1]) >= 400)
    return failed + record["unanswered"] + record["broken"]


def good(record: dict[str, Any]) -> bool:
    """Whether the rate was held, and answers came in time."""
    answers = record["latency_ms"]["answer"]
    return answers["p95"] <= P95 and record["rate"] >= 0.97 * record["asked_rate"] and not errors(record)


# Telling


def line(record: dict[str, Any]) -> str:
    """One row of the table."""
    answers, films = record["latency_ms"]["answer"], record["latency_ms"].get("film", {"p95": math.nan})
    cells = [
        record["database"],
        f"{record['annotators']}",
        f"{record['seconds']:.0f}",
        f"{record['asked_rate']:.0f}",
        f"{record['rate']:.1f}",
        *(f"{answers[name]:.0f}" for name in ("p50", "p95", "p99", "max")),
        f"{films['p95']:.0f}",
        f"{errors(record)}",
        f"{record['server_cores']:.2f} + {record['database_cores']:.2f}",
        f"{record['server_mib']:.0f}",
    ]
    return "| " + " | ".join(cells) + " |"


COLUMNS = (
    "store, annotators, seconds, due/s, judgements/s, p50, p95, p99, max, film p95, errors, "
    "cores: app + database, app MiB"
)
HEAD = f"| {' | '.join(COLUMNS.split(', '))} |\n{'|---' * len(COLUMNS.split(', '))}|\n"
TEXT = """# Serving people

Written by `benchmarks/serve.py`. Each simulated annotator sends an answer and gets the next question with it, then
fetches that question's two film strips, which the server draws for the first time; now and then it renews its
leases. Every question has clips of its own; 5 % are asked again, 5 % have a known answer. An answer's time, in
milliseconds, counts from the moment that it was due until the reply was read; the judgement is on disk then. Errors
are statuses from 400 on, broken connections and requests without a reply. The load's own process runs on the same
cores.
"""


def table(records: list[dict[str, Any]]) -> str:
    """The committed page."""
    steady = [each for each in records if not each["maximum"]]
    climbs = [each for each in records if each["maximum"]]
    parts = [TEXT, HEAD + "\n".join(line(each) for each in steady) + "\n"]
    if climbs:
        best = {each["database"]: each["rate"] for each in sorted(filter(good, climbs), key=lambda each: each["rate"])}
        said = ", ".join(f"{rate:.0f} judgements/s on {name}" for name, rate in best.items()) or "none"
        parts += [
            "## The maximum\n",
            f"The highest rate at which p95 stayed under {P95:.0f} ms, without an error: {said}.\n",
            HEAD + "\n".join(line(each) for each in climbs) + "\n",
        ]
    counted = {(each["database"], each["maximum"]): each for each in records}
    checked = "; ".join(
        f"{name}{', climbing' if climb else ''}: {each['lost']} lost, {each['doubled']} doubled"
        for (name, climb), each in counted.items()
    )
    last = records[-1]
    parts += [
        f"Acknowledged judgements, looked up in the store afterwards: {checked}.\n",
        f"{last['cores']} cores, Python {last['python']}. To keep a page of 4 KiB took the disk "
        f"{last['sync_ms']:.1f} ms, and the load average at the end was {last['load_average']:.1f}.\n",
    ]
    return "\n".join(parts)


def keep(records: list[dict[str, Any]]) -> None:
    """Put the records in the place of earlier ones of the same sort."""
    path = RESULTS / "serve.json"
    before = json.loads(path.read_text()) if path.exists() else []
    sort = {(each["database"], each["maximum"]) for each in records}
    merged = [each for each in before if (each["database"], each["maximum"]) not in sort] + records
    merged.sort(key=lambda each: (each["maximum"], each["database"] < "S", each["asked_rate"]))
    path.write_text(json.dumps(merged, indent=1) + "\n")
    (RESULTS / "serve.md").write_text(table(merged))


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300.0, help="measured; 1 to 3600")
    parser.add_argument("--annotators", type=int, default=300, help="1 to 2000")
    parser.add_argument("--rate", type=float, default=76.0, help="judgements a second of all together")
    parser.add_argument("--postgres", action="store_true", help="on PostgreSQL")
    parser.add_argument("--maximum", action="store_true", help="step the rate up until p95 is too long")
    parser.add_argument("--keep", action="store_true", help="leave results/ as it is")
    options = parser.parse_args()
    if not (1 <= options.seconds <= 3600 and 1 <= options.annotators <= 2000 and 0.1 <= options.rate <= HIGHEST):
        parser.error("out of bounds: see --help")
    records = measure_all(options)
    if not options.keep:
        keep(records)
    print(json.dumps(records[-1]))
    return 1 if any(each["lost"] or each["doubled"] for each in records) else 0


if __name__ == "__main__":
    sys.exit(main())
