"""A whole run of training with a scripted person who judges through the browser alone, beside an oracle's.

    python benchmarks/person.py                    # 120 comparisons on Duel; about ten minutes
    python benchmarks/person.py --labels 300

The person opens the link that `plaudit train Duel --annotator people` prints, watches both clips to their end at double
speed, and presses a key. They see pixels: the side that a ball passes glows, red where the agent concedes and green
where it scores. They never look into the store. The oracle has as many comparisons and plans as many steps.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from plaudit.control.environments import drawing
from plaudit.run.control.config import Run
from plaudit.run.control.look import measure_returns

RESULTS = Path(__file__).parent / "results"
EPISODES = 512
# Watches until each frame was seen once; points won less points lost, as glowing columns tell, left and right.
WATCH = """
([green, red]) => new Promise((resolve) => {
  const question = document.body.dataset.question;
  const canvases = [...document.querySelectorAll(".screen canvas")];
  const line = document.querySelector(".controls input[type=range]");
  const seen = new Map();
  const glows = (canvas, x, [r, g, b]) => {
    const { data } = canvas.getContext("2d").getImageData(x, 0, 1, canvas.height);
    for (let at = 0; at < data.length; at += 4)
      if (data[at] === r && data[at + 1] === g && data[at + 2] === b) return 1;
    return 0;
  };
  const look = () => {
    if (document.body.dataset.question !== question) return resolve(null);
    if (!seen.has(line.value))
      seen.set(line.value, canvases.map((canvas) => glows(canvas, 0, green) - glows(canvas, canvas.width - 1, red)));
    if (seen.size <= Number(line.max)) return requestAnimationFrame(look);
    resolve([0, 1].map((side) => [...seen.values()].reduce((sum, points) => sum + points[side], 0)));
  };
  look();
})
"""
SHOWN = "() => document.querySelector('[data-vote]') && !document.querySelector('[data-vote]').disabled"


def judge(page: Page, wanted: int, going: subprocess.Popen[str]) -> list[float]:
    """Answer until so many answers are given, or the run has ended; seconds from one key to the next."""
    moments: list[float] = []
    quick = False
    while len(moments) < wanted and going.poll() is None:
        if not page.evaluate(SHOWN):
            page.wait_for_timeout(50)
            continue
        if not quick:
            page.get_by_label("Speed 2").click()
            quick = True
        points = page.evaluate(WATCH, [list(drawing.SUCCESS), list(drawing.ALARM)])
        if points is None:
            continue
        left, right = points
        question = page.evaluate("document.body.dataset.question")
        page.keyboard.press("ArrowDown" if left == right else "ArrowLeft" if left > right else "ArrowRight")
        while page.evaluate("document.body.dataset.question") == question:
            page.wait_for_timeout(10)
        moments.append(time.monotonic())
    return [b - a for a, b in itertools.pairwise(moments)]


def with_person(folder: Path, labels: int, seed: int) -> tuple[Run, list[float]]:
    """Train while the person judges in a browser."""
    command = [sys.executable, "-m", "plaudit", "train", "Duel", "--annotator", "people", "--port", "0"]
    command += ["--labels", str(labels), "--seed", str(seed), "--out", str(folder)]
    training = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert training.stderr is not None
    link = next(found[0] for line in training.stderr if (found := re.search(r"http\S+/join/\S+", line)))
    url, token = link.split("/join/")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"] if root else [])
        context = browser.new_context()
        person = {"token": token, "name": "person", "password": os.urandom(12).hex()}
        joined = context.request.post(f"{url}/api/join", data=person, headers={"Origin": url})
        assert joined.ok, joined.text()
        page = context.new_page()
        page.goto(f"{url}/work/default")
        seconds = judge(page, labels, training)
        page.wait_for_timeout(2000)
        browser.close()
    training.stderr.read()
    if training.wait() != 0:
        sys.exit(f"training ended with {training.returncode}: see {folder}")
    return Run.open(folder), seconds


def with_oracle(folder: Path, labels: int, seed: int) -> Run:
    """The same with an oracle that answers at once."""
    command = [sys.executable, "-m", "plaudit", "train", "Duel", "--labels", str(labels), "--seed", str(seed)]
    subprocess.run([*command, "--out", str(folder)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return Run.open(folder)


def main() -> None:
    """Both runs, and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        run, seconds = with_person(folder / "person", arguments.labels, arguments.seed)
        oracle = with_oracle(folder / "oracle", arguments.labels, arguments.seed)
        rows = []
        for name, each in (("person, in the browser", run), ("oracle", oracle)):
            last = each.metrics()[-1]
            result = float(measure_returns(each, EPISODES).mean())
            rows.append((name, last["labels"], last["step"], last["seconds"], result))
    share = rows[0][4] / rows[1][4]
    lines = [
        "# A person in the browser",
        "",
        f"`python benchmarks/person.py --labels {arguments.labels} --seed {arguments.seed}`: Duel, one seed. The "
        "scripted person watches both clips at double speed, looks at pixels alone, and presses a key.",
        "",
        "| who judges | comparisons | steps | training | true return of 400 steps |",
        "|---|---|---|---|---|",
        *(
            f"| {n} | {labels:.0f} | {steps:,} | {time:.0f} s | {result:.2f} |"
            for n, labels, steps, time, result in rows
        ),
        "",
        f"The person's run reaches {share:.0%} of the oracle's. Median time from one key to the next: "
        f"{statistics.median(seconds):.1f} s.",
    ]
    (RESULTS / "person.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
