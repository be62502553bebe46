"""The page of a training run: what it shows to whom, and the word that ends the run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi")

from starlette.testclient import TestClient

from plaudit.feedback import codec
from plaudit.feedback.kinds.comparison import KIND
from plaudit.feedback.store import Store
from plaudit.server.live import POINTS, LiveRun
from plaudit.server.services import build_services
from plaudit.server.settings import ServerConfig
from plaudit.types import Judgement, PlauditError, Segment

from .application import application
from .core.conftest import CHEAP

ROW = {"round": 0, "step": 1000, "true_return": -3.5, "predicted_return": 0.25, "progress": 0.1, "seconds": 1.0}


def segment(seed: int) -> Segment:
    """Ten steps of Duel, which has six state variables: any whole numbers on its court are a state."""
    states = np.random.default_rng(seed).integers(1, 8, (10, 6)).astype(np.int16)
    return Segment(states.astype(np.float32), np.zeros(10, np.int64), states)


def write(run: Path, rows: int) -> None:
    """Metrics of so many rounds, and the torn line of the next."""
    lines = [json.dumps(ROW | {"round": number, "step": 1000 * (number + 1)}) for number in range(rows)]
    (run / "metrics.jsonl").write_text("\n".join([*lines, '{"round": 9']))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.json").write_text(
        json.dumps({"environment": {"id": "plaudit/Duel-v0"}, "feedback": {"labels": 40}})
    )
    with Store.open(folder / "feedback.sqlite") as store:
        segments = [segment(number) for number in range(6)]
        ids = [each.id for each in segments]
        questions = [KIND.question(*pair) for pair in zip(ids[::2], ids[1::2], strict=True)]
        store.ask(questions, segments)
        store.answer([Judgement(questions[0].id, "bob", {"strength": 4}, (0, 1), 1.0, 2.0, 3.0, "one")])
    return folder


@pytest.fixture
def app(run: Path, tmp_path: Path) -> Iterator[Any]:
    config = ServerConfig(str(run / "feedback.sqlite"), tmp_path / "web", run=run)
    services = build_services(config, hasher=CHEAP)
    yield application(services)
    services.store.close()


def client(app: Any, role: str) -> TestClient:
    """Somebody of that role, signed in."""
    from_invite = app.state.services.accounts.invites.make("test", role, uses=1, days=1.0)
    one = TestClient(app, base_url="http://localhost", headers={"Origin": "http://localhost"})
    done = one.post("/api/join", json={"token": from_invite, "name": role, "password": "correct horse battery"})
    assert done.status_code == 204, done.text
    return one


def test_curves_labels_and_state_and_a_torn_line(app: Any, run: Path) -> None:
    admin = client(app, "admin")
    said = admin.get("/api/run").json()
    assert said["state"] == "starting" and said["curves"]["step"] == [] and said["clip"] is None
    assert said["labels"] == {"wanted": 40, "asked": 3, "judged": 1, "waiting": 2}
    write(run, 3)
    said = admin.get("/api/run").json()
    assert said["state"] == "training" and said["environment"] == "plaudit/Duel-v0"
    assert said["curves"]["step"] == [1000, 2000, 3000] and said["curves"]["true_return"] == [-3.5] * 3
    write(run, 2)  # resumed: the last round is made again
    assert admin.get("/api/run").json()["curves"]["step"] == [1000, 2000]
    old = (run / "config.json").stat().st_mtime - 10_000
    for name in ("metrics.jsonl", "config.json"):
        os.utime(run / name, (old, old))
    assert admin.get("/api/run").json()["state"] == "stopped"


def test_those_who_judge_do_not_see_the_true_return(app: Any, run: Path) -> None:
    write(run, 2)
    said = client(app, "annotator").get("/api/run").json()
    assert "true_return" not in said["curves"] and said["curves"]["predicted_return"] == [0.25, 0.25]
    assert "bob" not in said["judging"]
    assert client(app, "reviewer").get("/api/run").json()["curves"]["true_return"] == [-3.5, -3.5]


def test_the_latest_clip(app: Any, run: Path) -> None:
    admin = client(app, "admin")
    assert admin.get("/api/run/clip").status_code == 404
    (run / "latest.clip").write_bytes(codec.pack(segment(9))[1])
    clip = admin.get("/api/run").json()["clip"]
    strip = admin.get(clip["src"])
    assert strip.status_code == 200 and strip.headers["content-type"] in ("image/webp", "image/png")
    assert clip["frames"] == 10 and clip["width"] > 1 and clip["fps"] > 0
    (run / "latest.clip").write_bytes(b"nothing of the kind")
    os.utime(run / "latest.clip", (1, 1))
    assert admin.get("/api/run").json()["detail"].startswith("these bytes are not a segment")


def test_only_an_admin_says_that_it_is_enough(app: Any, run: Path) -> None:
    assert client(app, "annotator").post("/api/run/finish").status_code == 403
    assert not (run / "finish").exists()
    admin = client(app, "admin")
    assert admin.post("/api/run/finish").status_code == 204 and (run / "finish").exists()
    write(run, 1)
    assert admin.get("/api/run").json()["state"] == "finishing"


def test_the_page_and_nobody(app: Any) -> None:
    page = client(app, "admin").get("/run")
    assert page.status_code == 200 and "Duel" in page.text and "/static/run.js" in page.text
    nobody = TestClient(app, base_url="http://localhost")
    assert nobody.get("/api/run").status_code == 401
    assert nobody.get("/run", follow_redirects=False).status_code in (302, 303, 307)


def test_who_has_joined_is_led_to_the_work_and_to_the_run(app: Any, run: Path) -> None:
    page = client(app, "annotator").get("/").text
    assert 'href="/work/default"' in page and "3 waiting" not in page and "2 waiting" in page
    assert page.count('href="/run"') == 2 and "Watch it learn" in page  # in the menu, and beside the work
    with Store.open(run / "feedback.sqlite") as store:
        rest = [each.question for each in store.claim("bob", 10)]
        store.answer([Judgement(each.id, "bob", {"strength": 4}, (0, 1), 1.0, 2.0, 3.0, each.id) for each in rest])
    page = client(app, "reviewer").get("/").text
    assert "No questions for you now" in page and "Watch the agent learn" in page


def test_without_a_run_there_is_none(run: Path, tmp_path: Path) -> None:
    app = application(build_services(ServerConfig(str(run / "feedback.sqlite"), tmp_path / "web"), hasher=CHEAP))
    assert client(app, "admin").get("/api/run").status_code == 404
    app.state.services.store.close()


def test_long_curves_are_thinned_and_keep_their_end(run: Path) -> None:
    write(run, 1000)
    steps = LiveRun(run).curves(show_hidden=True)["step"]
    assert len(steps) <= POINTS + 1 and steps[-1] == 1_000_000


def test_a_damaged_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(PlauditError, match="holds no run"):
        LiveRun(tmp_path).settings()
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(PlauditError, match="no settings of a run"):
        LiveRun(tmp_path).settings()
    (tmp_path / "metrics.jsonl").write_text("{}\nnot json\n")
    with pytest.raises(PlauditError, match="is damaged"):
        LiveRun(tmp_path).rows()


def test_a_run_that_has_not_asked_yet_has_its_project(tmp_path: Path) -> None:
    """Whoever opens the link at once waits on the right page."""
    (tmp_path / "config.json").write_text(json.dumps({"environment": {"id": "plaudit/Duel-v0"}}))
    config = ServerConfig(str(tmp_path / "feedback.sqlite"), tmp_path / "web", run=tmp_path)
    app = application(build_services(config, hasher=CHEAP))
    admin = client(app, "admin")
    assert admin.get("/work/default").status_code == 200 and "Duel" in admin.get("/").text
    app.state.services.store.close()


def test_a_language_models_run(app: Any, run: Path) -> None:
    """Its questions are those about responses, its curves go over rounds, and there is no clip."""
    settings = {"kind": "chat", "model": {"model": "smollm2"}, "feedback": {"labels": 20}}
    (run / "config.json").write_text(json.dumps(settings))
    rows = [{"round": n, "score": n / 2, "kl": 0.1 * n, "held_out": 0.5, "seconds": 1.0} for n in range(2)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = client(app, "admin").get("/api/run").json()
    assert said["labels"] == {"wanted": 20, "asked": 0, "judged": 0, "waiting": 0}
    assert said["unit"] == "rounds" and said["curves"]["step"] == [0, 1] and said["curves"]["score"] == [0, 0.5]
    assert said["curves"]["held_out"] == [0.5, 0.5]
    annotator = client(app, "annotator")
    assert "held_out" not in annotator.get("/api/run").json()["curves"]
    page = annotator.get("/run").text
    assert "/work/responses" in page and 'id="film"' not in page and 'id="finish"' not in page
