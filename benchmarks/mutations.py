"""Do the tests notice a fault? One line of the source is changed at a time, and the tests of its room must fail.

    python benchmarks/mutations.py                          # every mutant: some minutes
    python benchmarks/mutations.py queue-seats csrf-token   # some of them
    python benchmarks/mutations.py --thorough               # with the tests that only `make test-all` runs

The checkout's files are copied to a temporary folder and changed there. The tests must pass on the unchanged copy;
then each mutant must make one fail. Prints a table in Markdown, and exits with 1 if a mutant survived.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 600.0  # seconds for the tests of one mutant


@dataclass(frozen=True)
class Mutant:
    """A fault: ``line`` stands once in ``src/plaudit/file`` and becomes ``fault``; ``tests`` should notice."""

    name: str
    file: str
    line: str
    fault: str
    tests: tuple[str, ...]


MUTANTS = (
    Mutant(
        "objective-preference",
        "functional/preference.py",
        "return (1 - lapse) * torch.sigmoid(delta) + lapse / 2",
        "return (1 - lapse) * torch.sigmoid(-delta) + lapse / 2",
        ("functional/test_preference.py",),
    ),
    Mutant(
        "objective-clip",
        "functional/objective.py",
        "surrogate = torch.minimum(surrogate, ratio.clamp(1 - clip, 1 + clip) * advantages)",
        "surrogate = torch.maximum(surrogate, ratio.clamp(1 - clip, 1 + clip) * advantages)",
        ("functional/test_objective.py",),
    ),
    Mutant(
        "queue-seats",  # one annotator too many on a question that wants several
        "feedback/queue.py",
        "and_(OPEN_QUESTIONS.c.seats > 1, OPEN_QUESTIONS.c.seats > n_leases),",
        "and_(OPEN_QUESTIONS.c.seats > 1, OPEN_QUESTIONS.c.seats >= n_leases),",
        ("feedback/test_queue.py", "feedback/test_store.py", "feedback/test_queue_machine.py"),
    ),
    Mutant(
        "queue-standing",  # a question comes back to an annotator who has answered it
        "feedback/queue.py",
        "            ~_has_standing(number, annotator),\n",
        "",
        ("feedback/test_queue.py", "feedback/test_store.py", "feedback/test_queue_machine.py"),
    ),
    Mutant(
        "lease-renew",  # an expired lease is renewed, although another annotator may have the question by now
        "feedback/queue.py",
        '    .where(LEASES.c.expires_at > bindparam("now"))\n',
        "",
        ("feedback/test_queue.py", "feedback/test_store.py", "feedback/test_queue_machine.py"),
    ),
    Mutant(
        "lease-abandoned",  # a page's lease that it still renews is given to another page
        "feedback/queue.py",
        "            LEASES.c.expires_at < now + seconds / 2,\n",
        "",
        ("server/work/test_work.py",),
    ),
    Mutant(
        "csrf-token",  # a request without a token passes
        "server/security.py",
        "if not hmac.compare_digest(token.encode()",
        "if token and not hmac.compare_digest(token.encode()",
        ("server/core/test_security.py",),
    ),
    Mutant(
        "csrf-origin",  # http://localhost:8000.attacker.example passes
        "server/security.py",
        "if origin is not None and origin.lower() not in self._origins(scope, host):",
        "if origin is not None and not origin.lower().startswith(tuple(self._origins(scope, host))):",
        ("server/core/test_security.py",),
    ),
    Mutant(
        "decoder-stop",
        "language/fast/decode.py",
        "finished[active] |= torch.isin(chosen, stops)",
        "finished[active] |= torch.isin(chosen, stops[:1] + 1)",
        ("language/fast/test_decode.py",),
    ),
    Mutant(
        "decoder-top-p",  # the token that reaches the share is excluded
        "language/fast/decode.py",
        "before = ordered.cumsum(dim=1) - ordered",
        "before = ordered.cumsum(dim=1)",
        ("language/fast/test_decode.py",),
    ),
    Mutant(
        "resume-rewind",  # the round that is made again stands twice in the metrics
        "run/record.py",
        'rows = [row for row in self.metrics(name) if row["round"] <= round]',
        'rows = [row for row in self.metrics(name) if row["round"] <= round + 1]',
        ("run/test_session.py",),
    ),
    Mutant(
        "resume-seconds",  # the clock of a resumed run begins at zero
        "run/session.py",
        "parts, started = self.parts, time.perf_counter() - self.seconds",
        "parts, started = self.parts, time.perf_counter()",
        ("run/test_session.py",),
    ),
    Mutant(
        "formats-messages",
        "feedback/formats/messages.py",
        "if before and (len(before) == len(whole) or before != whole[: len(before)]):",
        "if before and (len(before) == len(whole) or before == whole[: len(before)]):",
        ("feedback/formats",),
    ),
    Mutant(
        "formats-pairs",  # the worse response is exported as the better one
        "feedback/formats/_pairs.py",
        "yield Pair(first, second, judgement) if strength > 0 else Pair(second, first, judgement)",
        "yield Pair(first, second, judgement) if strength < 0 else Pair(second, first, judgement)",
        ("feedback/formats",),
    ),
    Mutant(
        "selection-best",
        "feedback/select.py",
        "best = int(np.argmax(np.where(free if free.any() else left, worth, -np.inf)))",
        "best = int(np.argmin(np.where(free if free.any() else left, worth, -np.inf)))",
        ("feedback/test_select.py",),
    ),
    Mutant(
        "selection-schedule",  # labels are asked for too early
        "feedback/select.py",
        "due = budget * (upfront + (1 - upfront) * spent)",
        "due = budget * (upfront + spent)",
        ("feedback/test_select.py",),
    ),
    Mutant(
        "report-interval",
        "functional/calibration.py",
        "middle = (share + z**2 / (2 * counts)) * scale",
        "middle = (share + z**2 / counts) * scale",
        ("functional/test_calibration.py", "run/test_report.py"),
    ),
    Mutant(
        "report-duration",  # minutes of an hour are its seconds
        "run/report/words.py",
        "{whole % 3600 // 60}",
        "{whole % 60}",
        ("run/test_report.py",),
    ),
    Mutant(
        "migration-index",
        "feedback/migrations/versions/0003_leaving.py",
        'op.create_index("ix_resets_user", "resets", ["user"])',
        "pass",
        ("feedback/test_store_migrations.py",),
    ),
    Mutant(
        "migration-column",  # a store made before differs from a new one
        "feedback/migrations/versions/0002_people.py",
        'op.add_column(table, sa.Column("only_for", sa.Text))',
        'op.add_column(table, sa.Column("only_for", sa.Text, nullable=False, server_default=""))',
        ("feedback/test_store_migrations.py",),
    ),
)


def mutate(text: str, mutant: Mutant) -> str:
    """The source with the fault in it.

    Raises:
        SystemExit: the line does not stand there once, because the source has changed.
    """
    if text.count(mutant.line) != 1:
        raise SystemExit(f"{mutant.name}: {mutant.file} holds its line {text.count(mutant.line)} times, not once")
    return text.replace(mutant.line, mutant.fault)


def copy_checkout(folder: Path) -> Path:
    """A copy of the checkout's files, without what git ignores; ``shared``, if it stands next to it, is linked."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    copy = folder / "checkout"
    for name in filter(None, names):
        if (ROOT / name).is_file():  # not one that is deleted and not committed
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    if (ROOT.parent / "shared").is_dir():
        (folder / "shared").symlink_to(ROOT.parent / "shared")
    return copy


def run_tests(checkout: Path, tests: tuple[str, ...], thorough: bool) -> tuple[int, str]:
    """The exit code of pytest, and its output. It stops at the first failure."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    paths = [f"tests/{test}" for test in tests]
    environment = {**os.environ, "PYTHONPATH": str(checkout / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    result = subprocess.run(
        [*command, *([] if thorough else ["-m", "not thorough"]), *paths],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    return result.returncode, result.stdout + result.stderr


def catch(checkout: Path, mutant: Mutant, thorough: bool) -> str | None:
    """The test that fails because of the mutant; None if it survives.

    Raises:
        SystemExit: the tests did not run.
    """
    path = checkout / "src/plaudit" / mutant.file
    source = path.read_text(encoding="utf-8")
    path.write_text(mutate(source, mutant), encoding="utf-8")
    try:
        code, output = run_tests(checkout, mutant.tests, thorough)
    finally:
        path.write_text(source, encoding="utf-8")
    if code == 0:
        return None
    failures = [line.split(" - ")[0] for line in output.splitlines() if line.startswith(("FAILED", "ERROR"))]
    if code != 1 or not failures:
        raise SystemExit(f"{mutant.name}: pytest ended with {code}\n{output[-3000:]}")
    return failures[0].split(" ", 1)[1].removeprefix("tests/")


def main() -> int:
    """Run the mutants that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [mutant.name for mutant in MUTANTS]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"mutants, default all: {', '.join(names)}")
    parser.add_argument("--thorough", action="store_true", help="run the tests that are marked thorough too")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(names):
        parser.error(f"no such mutant: {', '.join(sorted(unknown))}")
    mutants = [mutant for mutant in MUTANTS if mutant.name in (arguments.names or names)]
    with tempfile.TemporaryDirectory() as folder:
        checkout = copy_checkout(Path(folder))
        tests = tuple(dict.fromkeys(test for mutant in mutants for test in mutant.tests))
        code, output = run_tests(checkout, tests, arguments.thorough)
        if code != 0:
            raise SystemExit(f"the tests do not pass on the unchanged source\n{output[-3000:]}")
        print("| mutant | caught by | seconds |\n|---|---|---|", flush=True)
        survivors = 0
        for mutant in mutants:
            started = time.perf_counter()
            test = catch(checkout, mutant, arguments.thorough)
            survivors += test is None
            caught = "**survived**" if test is None else f"`{test}`"
            print(f"| {mutant.name} | {caught} | {time.perf_counter() - started:.0f} |", flush=True)
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
