"""Clips as film strips: drawn rightly, quickly, and only for those who were given them."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from PIL import Image

from plaudit.control.environments import drawing
from plaudit.control.film import DRAWN_FROM_OBSERVATIONS
from plaudit.control.make import EnvironmentConfig, make
from plaudit.control.mujoco import show_once
from plaudit.feedback.store import Store
from plaudit.questions import Feedback, FeedbackConfig
from plaudit.run.control.assemble import assemble
from plaudit.run.control.config import Run, defaults
from plaudit.run.control.look import first_segment
from plaudit.run.stored import CONTROL, to_dict
from plaudit.server import media
from plaudit.server.keyed_ids import reveal_id
from plaudit.server.services import Services
from plaudit.server.tickets import sign
from plaudit.types import PlauditError, Segment

from .conftest import Someone
from .seed import ask, duels


def frames_of(film: media.Film) -> Any:
    """The frames back out of the strip, (N, H, W, 3)."""
    shape = film.shape
    grid = np.asarray(Image.open(io.BytesIO(film.data)).convert("RGB"))
    cells = grid.reshape(-1, shape.height, shape.columns, shape.width, 3).swapaxes(1, 2)
    return cells.reshape(-1, shape.height, shape.width, 3)[: shape.frames]


def stretch(name: str, length: int = 12) -> Segment:
    """Random steps of any environment."""
    envs = make(EnvironmentConfig(name, num_envs=1))
    observations, _ = envs.reset(seed=0)
    envs.action_space.seed(0)
    seen, acted = [], []
    for _ in range(length):
        seen.append(observations[0].copy())
        acted.append(envs.action_space.sample()[0])
        observations, *_ = envs.step(np.array([acted[-1]]))
    envs.close()
    return Segment(np.stack(seen), np.stack(acted))


def test_a_strip_holds_the_frames_that_the_environment_draws_without_loss() -> None:
    segment = duels(2)[0]
    film = media.film(segment, "Duel")
    frames = frames_of(film)
    assert frames.shape == (25, 12, 16, 3)
    assert np.array_equal(frames, media.draw(segment, "Duel"))
    assert segment.states is not None
    for frame, (x, y, *_) in zip(frames, segment.states, strict=True):
        assert tuple(frame[y, x]) == drawing.BALL
    assert film.type == "image/webp"


def test_a_long_clip_has_more_columns() -> None:
    seen = np.random.default_rng(0).integers(0, 255, (200, 4, 84, 84)).astype(np.uint8)
    film = media.film(Segment(seen, np.zeros(200, np.int64)), "ALE/Pong-v5")
    assert film.shape.columns == 5
    assert np.array_equal(frames_of(film)[..., 0], seen[:, -1])  # the newest frame, in grey


def test_too_long_a_clip_is_refused() -> None:
    seen = np.zeros((70_000, 1, 84, 84), np.uint8)
    with pytest.raises(PlauditError, match="too many for one picture"):
        media.film(Segment(seen, np.zeros(70_000, np.int64)), None)


@pytest.mark.parametrize(
    "name", ["Pendulum-v1", "CartPole-v1", "Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0"]
)
def test_classic_control_is_drawn_from_observations(name: str) -> None:
    pytest.importorskip("pygame", reason="no pygame here: pip install -e '.[control]'")
    segment = stretch(name)
    frames = media.draw(segment, name)
    assert frames.shape[0] == 12 and frames.dtype == np.uint8 and max(frames.shape[1:3]) <= media.SIDE
    assert not np.array_equal(frames[0], frames[-1])
    assert np.array_equal(frames[3], media.draw(segment, name)[3])


def test_a_cart_stands_where_the_observation_says() -> None:
    pytest.importorskip("pygame", reason="no pygame here: pip install -e '.[control]'")
    places = np.array([[-1.2, 0, 0, 0], [1.2, 0, 0, 0]], np.float32)
    left, right = media.draw(Segment(places, np.zeros(2, np.int64)), "CartPole-v1")
    across = [np.nonzero((frame.min(axis=2) < 60).any(axis=0))[0] for frame in (left, right)]
    track = [np.bincount(np.nonzero(frame.max(axis=2) < 60)[1], minlength=frame.shape[1]) for frame in (left, right)]
    assert len(across[0]) and np.argmax(track[0]) < 100 < np.argmax(track[1])


class Bare(gymnasium.Env[Any, Any]):
    """What both of the following have."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None) -> None:
        self.observation_space, self.action_space = spaces.Box(0, 1, (2,)), spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        return np.zeros(2, np.float32), {}


class Drawn(Bare):
    """An environment with a method that draws observations."""

    def draw(self, observations: Any) -> Any:
        """A pixel that is as bright as the observation."""
        return (observations[:, :1, None, None] * np.full(3, 255)).astype(np.uint8)


class Posed(Bare):
    """An environment as MuJoCo's are: it says what its observation is made of."""

    observation_structure: dict[str, int] = {"skipped_qpos": 1, "qpos": 2, "qvel": 1}  # noqa: RUF012

    def set_state(self, place: Any, speed: Any) -> None:
        """qpos and qvel."""
        self.state = (place.tolist(), speed.tolist())

    def render(self) -> Any:
        """The state, as colours."""
        return np.array([[[int(each) for each in self.state[0]]]], np.uint8)


@pytest.fixture
def registered() -> Any:
    for name, entry in {"Drawn-v0": Drawn, "Posed-v0": Posed}.items():
        gymnasium.register(name, entry_point=entry, max_episode_steps=10)
    yield
    media._drawer.cache_clear()
    for name in ("Drawn-v0", "Posed-v0"):
        del gymnasium.registry[name]


def test_pictures_with_channels_last_are_drawn_in_colour() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 24, 24, 12), dtype=np.uint8)
    actions = np.zeros(2, np.int64)
    np.testing.assert_array_equal(media.draw(Segment(frames, actions), None), frames[..., 9:])
    np.testing.assert_array_equal(media.draw(Segment(frames[..., :3], actions), None), frames[..., :3])
    grey = media.draw(Segment(frames[..., :4], actions), None)
    np.testing.assert_array_equal(grey, np.repeat(frames[..., 3:4], 3, axis=3))


def test_an_environment_may_draw_observations_itself(registered: Any) -> None:
    seen = np.array([[0, 0], [1, 0]], np.float32)
    frames = media.draw(Segment(seen, np.zeros(2, np.int64)), "Drawn-v0")
    assert frames.tolist() == [[[[0, 0, 0]]], [[[255, 255, 255]]]]


def test_positions_and_speeds_are_taken_out_of_the_observation(registered: Any) -> None:
    seen = np.array([[7, 9, 3]], np.float32)
    assert media.draw(Segment(seen, np.zeros(1, np.int64)), "Posed-v0").tolist() == [[[[0, 7, 9]]]]


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ("Duel", "stored without states"),
        (None, 'setting "environment"'),
        ("Nowhere-v0", "unknown environment"),
        ("FrozenLake-v1", r"method draw\(observations\)"),
    ],
)
def test_what_cannot_be_drawn_says_what_to_do(environment: str | None, words: str) -> None:
    with pytest.raises(PlauditError, match=words):
        media.draw(Segment(np.zeros((3, 6), np.float32), np.zeros(3, np.int64)), environment)


def test_states_of_another_environment_are_told(served: Services) -> None:
    far = Segment(np.zeros((2, 6), np.float32), np.zeros(2, np.int64), np.full((2, 6), 99, np.int16))
    with pytest.raises(PlauditError, match="comes from another environment"):
        media.draw(far, "Duel")


def test_films_are_remembered_up_to_so_many_bytes() -> None:
    films, asked = media.Films(capacity=1), []

    def load(which: int) -> Any:
        return lambda: asked.append(which) or duels(2)[which]

    for which in (0, 0, 1, 1, 0):
        films.get(str(which), "Duel", load(which))
    assert asked == [0, 1, 0]


def moved(size: int) -> Segment:
    """A walk on a grid of that size."""
    env: Any = gymnasium.make_vec("plaudit/MovingDot-v0", 1, vectorization_mode="vector_entry_point", size=size)
    observations, _ = env.reset(seed=0)
    seen, states = [], []
    for _ in range(4):
        seen.append(observations[0].copy())
        states.append(env.unwrapped.states()[0])
        observations, *_ = env.step(np.array([4]))
    return Segment(np.stack(seen), np.full(4, 4), np.stack(states))


def test_an_environment_is_drawn_with_its_settings() -> None:
    small = media.Scene("MovingDot", '{"size":5}')
    frames = media.draw(moved(5), small)
    assert frames.shape[1:3] == (5 * media.CELL, 5 * media.CELL)
    assert media.drawer(small).shape(moved(5)).width == 5 * media.CELL
    assert media.draw(moved(9), "MovingDot").shape[1:3] == (9 * media.CELL, 9 * media.CELL)
    assert small.version != media.Scene("MovingDot").version  # no browser shows the other one's strip
    assert media.drawer(media.Scene("ALE/Pong-v5", '{"frameskip":2}')).fps == 30.0
    assert media.drawer(media.Scene("ALE/Pong-v5", '{"frameskip":[2,6]}')).fps == 15.0
    for environment, options in (
        ("MovingDot", '{"sizes":5}'),
        ("MovingDot", '{"size":4}'),
        ("ALE/Pong-v5", '{"frameskip":0}'),
    ):
        with pytest.raises(PlauditError):
            media.drawer(media.Scene(environment, options))
    with pytest.raises(PlauditError, match="cannot make environment CartPole-v1"):
        media.drawer(media.Scene("CartPole-v1", '{"poles":2}'))


def test_a_project_says_how_its_clips_are_drawn(served: Services, ada: Someone) -> None:
    settings = {"environment": "MovingDot", "environment_options": {"size": 5}}
    first = moved(5)
    assert first.states is not None
    items = [first, Segment(first.observations[:3], first.actions[:3], first.states[:3])]
    ask(served, "comparison", 1, settings=settings, items=lambda number: items)
    (shown,) = ada.claim("comparison")
    assert {(each["width"], each["height"]) for each in shown["items"]} == {(60, 60)}
    assert ada.client.get(shown["items"][0]["src"]).status_code == 200
    with pytest.raises(PlauditError, match="environment_options"):
        served.projects.change("tests", "comparison", {"settings": {"environment_options": [5]}})


def test_a_film_is_for_whoever_was_given_it(served: Services, ada: Someone, ben: Someone, join: Any) -> None:
    ask(served, "comparison")
    (shown,) = ada.claim("comparison")
    item = shown["items"][0]
    film = ada.client.get(item["src"])
    assert film.status_code == 200 and film.headers["content-type"] == "image/webp"
    assert film.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert (item["frames"], item["width"], item["height"], item["fps"]) == (25, 16, 12, 15.0)
    again = ada.client.get(item["src"], headers={"If-None-Match": film.headers["etag"]})
    assert again.status_code == 304 and not again.content
    assert ben.client.get(item["src"]).status_code == 403
    shown = item["src"].split("/")[3]
    stored = reveal_id(served.secret, "Ada", "item", shown)
    assert stored != shown and served.store.items([stored])[0].id == stored
    assert join("Rea", "reviewer").client.get(item["src"].replace(shown, stored)).status_code == 200
    earlier = sign(served.secret, "film", "Ada", "comparison", stored)  # a page of a version before keyed ids
    address = f"/api/items/{stored}/film.webp?project=comparison&key={earlier}"
    assert (ada.client.get(address).status_code, ben.client.get(address).status_code) == (200, 403)
    assert ada.client.get(item["src"].replace("film.webp?project=comparison", "film.webp?project=x")).status_code == 403


def test_a_clip_that_cannot_be_drawn_says_so_in_its_place(served: Services, ada: Someone) -> None:
    ask(served, "comparison", settings={"environment": "Nowhere-v0"})
    (shown,) = ada.claim("comparison")
    assert shown["items"][0]["src"] is None and "unknown environment" in shown["items"][0]["error"]


def test_a_renderer_that_fails_is_told_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a renderer raises, an annotator's page gets one line; MuJoCo's names the variable that helps."""

    class NoDisplay:
        spec = EnvSpec("Walker-v9", "gymnasium.envs.mujoco.walker2d_v5:Walker2dEnv")

        def render(self) -> Any:
            raise RuntimeError("an OpenGL platform library has not been loaded")

    draw = media._pose_drawer(NoDisplay(), lambda env, observation, action: None)
    with pytest.raises(PlauditError, match=r"Walker-v9 cannot be drawn here: .*an OpenGL .*, set MUJOCO_GL=egl"):
        draw(Segment(np.zeros((1, 2)), np.zeros(1)))


def test_mujocos_warnings_are_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    for message in ("settotalmass is\ndeprecated", "settotalmass is\ndeprecated", "another"):
        show_once(message)
    assert capsys.readouterr().err == "MuJoCo: settotalmass is deprecated\nMuJoCo: another\n"


def test_one_step_is_drawn_before_anybody_is_invited(tmp_path: Any) -> None:
    run = Run.create(tmp_path / "run", defaults("Duel"))
    media.check_drawing(first_segment(run), to_dict(run.config, CONTROL))


def test_an_environment_that_nothing_draws_is_filmed(tmp_path: Any) -> None:
    """LunarLander's kind: its observation does not tell its state, so frames of four rows are stored with clips."""
    assert set(media.CLASSIC) == DRAWN_FROM_OBSERVATIONS
    pytest.importorskip("pygame", reason="no pygame here: pip install -e '.[control]'")
    gymnasium.register("Filmed-v0", "gymnasium.envs.classic_control.cartpole:CartPoleEnv", max_episode_steps=30)
    try:
        config = dataclasses.replace(
            defaults("Filmed-v0"),
            environment=EnvironmentConfig("Filmed-v0", num_envs=6),
            feedback=FeedbackConfig(labels=700, length=5),
            rollout_steps=20,
            annotator="people",
            steps=480,
        )
        media.check_drawing(first_segment(Run.create(tmp_path / "run", config)), to_dict(config, CONTROL))
        agent = assemble(config)
        film = agent.collector.film
        assert film is not None and 0 < film.bytes <= 2 * 2**30 and agent.plan.rollouts == 2
        agent.collector.film_from = 1
        agent.collector.reset(np.random.SeedSequence(0))
        assert agent.collector.collect(20).states is None  # no question is about the first rollout
        path = agent.collector.collect(20)
        assert path.states is not None and path.states.shape[:2] == (4, path.mask.shape[1])
        segment = Segment(path.observations[3, :5], path.actions[3, :5], path.states[3, :5])
        frames = media.draw(segment, media.Scene("Filmed-v0"))
        np.testing.assert_array_equal(frames, path.states[3, :5])
        assert (frames[0] != frames[4]).any() and max(frames.shape[1:3]) <= 256
        with Store.open(tmp_path / "feedback.sqlite") as store:  # questions are about the rows that were filmed
            segments: list[Segment] = []
            feedback = Feedback(store, config.feedback, lambda items, round: segments.extend(items), lambda: None)
            feedback.ask(path, np.zeros((2, *path.mask.shape)), 5, 0, np.random.default_rng(0))
        assert len(segments) == 10 and all(item.source and item.source.row < 4 for item in segments)
        assert all(item.states is not None and item.states.any() for item in segments)
        assert path.first_rows(4).states is not None and path.first_rows(4).mask.shape == (4, path.mask.shape[1])
        with pytest.raises(PlauditError, match="cannot be drawn from what was stored"):
            media.draw(dataclasses.replace(segment, states=None), media.Scene("Filmed-v0"))
        agent.envs.close()
    finally:
        del gymnasium.registry["Filmed-v0"]
