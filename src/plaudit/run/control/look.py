"""Looking at a finished or running run: its policy, its reward model, clips of it, and the data of its report."""

from __future__ import annotations

import contextlib
import dataclasses
import platform
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from gymnasium.vector import VectorEnv
from PIL import Image

from plaudit import __version__, layout
from plaudit.control.checks import FAULTS
from plaudit.control.clips import Video, encode_clip
from plaudit.control.collect import VectorCollector, evaluate
from plaudit.control.ends import RestartAfterEnd, RowEnvs
from plaudit.control.environments import DuelVector, RallyVector
from plaudit.control.film import reduce, rgb_frame
from plaudit.control.make import PICTURES, NoPicture, make
from plaudit.control.mujoco import WAY_OUT, is_mujoco
from plaudit.control.networks import ActorCritic
from plaudit.extensions import one_line
from plaudit.feedback.store import Store
from plaudit.files import replace_bytes
from plaudit.functional.intervals import mean_interval
from plaudit.functional.pictures import shows_pictures
from plaudit.questions import Critic, Feedback
from plaudit.reward.ensemble import RewardEnsemble
from plaudit.reward.fit import Comparisons, held_out
from plaudit.run.control.assemble import make_filmed
from plaudit.run.control.config import Run, RunConfig
from plaudit.run.disk import disk_errors
from plaudit.run.record import Checkpoint, RunFolder, part
from plaudit.run.report.calibration import Calibration
from plaudit.run.report.control_data import ControlResults, HeatMaps, Scatter, Summary
from plaudit.run.report.sections import Clip
from plaudit.types import Array, PlauditError, Segment, TrueReward, shorten

EVALUATION_SEED = 2**20  # far from every seed that training derives
EVALUATION_EPISODES = 128
ATARI_EPISODES = 8  # they are long
EVALUATION_STEPS, EVALUATION_SHARE = 64_000, 0.1  # at most, or a share of the run's steps if that is more
LEAST_EPISODES = 4  # of a short run in environments that are stepped one by one, whose evaluation takes as many steps
MOST_EVALUATION_STEPS = 100_000  # of each environment, where the number of episodes is the caller's
CLIP_STEPS = 240
LONGEST_FRAME = 1024  # pixels: larger frames of a clip are made smaller, because all of them are kept in memory
SCATTER_STEPS = 8192
SCATTER_PIXEL_STEPS = 256  # the reward of a picture takes longer


def policy_of(run: RunFolder[Any], checkpoint: Checkpoint, envs: VectorEnv) -> ActorCritic:
    """The policy as it was at a checkpoint, on the processor."""
    policy = ActorCritic(envs.single_observation_space, envs.single_action_space, run.config.network)
    with _explain_misfit(run):
        policy.load_state_dict(part(checkpoint.tensors, "policy"))
    return policy


def reward_model_of(run: Run, checkpoint: Checkpoint, envs: VectorEnv) -> RewardEnsemble | None:
    """The reward model as it was at a checkpoint; None for a baseline that has none."""
    state = part(checkpoint.tensors, "reward")
    if "lapse_logit" not in state:
        return None
    observation_space = cast(Any, envs.single_observation_space)
    model = RewardEnsemble(observation_space, envs.single_action_space, run.config.reward)
    with _explain_misfit(run):
        model.load_state_dict(state)
    return model


@contextlib.contextmanager
def _explain_misfit(run: RunFolder[Any]) -> Iterator[None]:
    """Say in one line that weights are not of the shape that the settings describe."""
    try:
        yield
    except (RuntimeError, TypeError, ValueError) as error:
        raise PlauditError(
            f"a checkpoint of {run.folder} does not fit its config.json ({shorten(str(error))}): restore both from a "
            "copy, or start a new run"
        ) from error


def count_evaluation(run: Run) -> tuple[int, int | None]:
    """Episodes of the evaluation, and the most steps that they can take; None for Atari, whose games have no horizon.

    Fewer episodes are measured where they are long: the steps stay within a tenth of the run's, or EVALUATION_STEPS.
    Environments that are stepped one by one may take seconds for a step, so there a short run bounds them further.
    """
    config = run.config
    if config.environment.atari:
        return ATARI_EPISODES, None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they came when the run started
        envs = make(dataclasses.replace(config.environment, num_envs=1, ends=None))
    horizon = int(getattr(envs, "horizon", 1))
    is_batch = not isinstance(envs.unwrapped, RowEnvs)
    envs.close()
    least = EVALUATION_STEPS if is_batch else min(EVALUATION_STEPS, max(config.steps, LEAST_EPISODES * horizon))
    most = max(least, int(EVALUATION_SHARE * config.steps))
    episodes = max(1, min(EVALUATION_EPISODES, most // horizon))
    return episodes, min(episodes * horizon, most)


def measure_returns(run: Run, episodes: int | None = None, checkpoint: Checkpoint | None = None) -> Array:
    """True returns (episodes,) of the latest policy, in fresh episodes that no training seed reaches."""
    environment = run.config.environment
    limit = None
    if episodes is None:
        episodes, limit = count_evaluation(run)
    envs = make(dataclasses.replace(environment, num_envs=environment.num_envs if environment.atari else episodes))
    if isinstance(envs, RestartAfterEnd):
        envs.repeats = 0  # a repeated end has no reward
    try:
        policy = policy_of(run, checkpoint or run.load(), envs)
        # each environment makes one of the episodes, in steps of all
        return evaluate(envs, policy, episodes, EVALUATION_SEED, max_steps=limit or MOST_EVALUATION_STEPS)
    finally:
        envs.close()


def first_segment(run: Run) -> Segment:
    """One step of the run's environment, as its clips are stored."""
    environment = dataclasses.replace(run.config.environment, num_envs=1)
    envs, film = make_filmed(dataclasses.replace(run.config, environment=environment))
    try:
        policy = ActorCritic(envs.single_observation_space, envs.single_action_space, run.config.network)
        box: list[TrueReward] = []
        has_states = hasattr(envs.unwrapped, "states")
        collector = VectorCollector(envs, policy, box.append, keep_states=has_states, film=film)
        collector.reset(np.random.SeedSequence(run.config.seed))
        path = collector.collect(1)
        return Segment(path.observations[0], path.actions[0], None if path.states is None else path.states[0])
    finally:
        envs.close()


def describe_evaluation(run: Run) -> str:
    """The size of the evaluation, in words."""
    episodes, steps = count_evaluation(run)
    count = "1 episode" if episodes == 1 else f"{episodes} episodes"
    return count if steps is None else f"{count}, at most {steps:,} steps"


def clip_of(
    run: RunFolder[Any], checkpoint: Checkpoint, steps: int | None = None, seed: int = EVALUATION_SEED
) -> Video:
    """Film a checkpoint's policy for ``steps`` steps (None: CLIP_STEPS).

    Raises:
        PlauditError: the environment cannot draw itself (its renderer is not installed).
    """
    environment = dataclasses.replace(run.config.environment, num_envs=1)
    if not environment.atari:  # a frozen last picture is nothing to look at: the next episode follows
        environment = dataclasses.replace(environment, ends="continue")
    envs = make(environment, render_mode=None if environment.atari else "rgb_array")
    try:
        policy = policy_of(run, checkpoint, envs)
        rng = np.random.default_rng(seed)
        observations, _ = envs.reset(seed=seed)
        frames = []
        for _ in range(CLIP_STEPS if steps is None else steps):
            frames.append(_frame(envs, observations))
            actions, _, _ = policy.act(np.ascontiguousarray(observations), rng)
            observations, *_ = envs.step(policy.to_environment(actions))
    finally:
        envs.close()
    return encode_clip(
        np.stack(_equal_sizes(frames)), fps=15 if run.config.environment.id.startswith("plaudit/") else 30
    )


def _frame(envs: VectorEnv, observations: Array) -> Array:
    """One RGB picture: what the environment draws, or for Atari the newest grey frame that the agent sees."""
    if envs.render_mode is None and shows_pictures(cast(Any, envs.single_observation_space)):
        return np.repeat(observations[0, -1][:, :, None], 3, axis=2)
    spec = envs.unwrapped.envs[0].spec if isinstance(envs.unwrapped, RowEnvs) else None
    name = str(spec.id) if spec is not None else "this environment"
    try:
        picture = envs.render()
    except FAULTS as error:  # a missing renderer raises whatever its library likes
        way_out = f"; {WAY_OUT}" if spec is not None and is_mujoco(spec) else f"; {PICTURES}"
        raise PlauditError(f"{name} cannot draw itself here: {one_line(error)}{way_out}") from error
    if picture is None or len(picture) == 0:
        raise NoPicture(f"this environment has no rgb_array rendering: {PICTURES}")
    return reduce(rgb_frame(picture[0], name), LONGEST_FRAME)


def _equal_sizes(frames: list[Array]) -> list[Array]:
    """Frames of the size of the first."""
    height, width = frames[0].shape[:2]
    return [
        frame if frame.shape == frames[0].shape else np.asarray(Image.fromarray(frame).resize((width, height)))
        for frame in frames
    ]


def control_results(run: Run, command: str, progress: Callable[[str], None] = lambda title: None) -> ControlResults:
    """Everything the report shows, measured from the folder alone."""
    checkpoint = run.load()
    first = run.load(run.checkpoints()[0])
    metrics = run.metrics()
    if not metrics or metrics[-1].get("step") is None:
        raise PlauditError(
            f"{run.folder / layout.METRICS} has no steps in its last row, although the run has a checkpoint: restore "
            "the file from a copy, or start a new run"
        )
    baseline_folder = run.folder / layout.BASELINE
    baseline = Run.open(baseline_folder) if (baseline_folder / layout.CONFIG).exists() else None
    progress(f"evaluating the policy: {describe_evaluation(run)}")
    returns = measure_returns(run, checkpoint=checkpoint)
    baseline_returns = measure_returns(baseline) if baseline and baseline.checkpoints() else None
    progress("looking into the reward model")
    envs = make(dataclasses.replace(run.config.environment, num_envs=min(run.config.environment.num_envs, 16)))
    if isinstance(envs, RestartAfterEnd):
        envs.repeats = 0  # a step of the environment for each point of the plots
    try:
        model = reward_model_of(run, checkpoint, envs)
        policy = policy_of(run, checkpoint, envs)
        calibration = _calibration(run, model, policy) if model else None
        maps = heat_maps(envs.unwrapped, model) if model else None
        scatter = _scatter(envs, policy, model) if model else None
    finally:
        envs.close()
    progress("filming clips")
    return ControlResults(
        title=f"{run.config.environment.id} from comparisons",
        environment=run.config.environment.id,
        command=command,
        settings=dataclasses.asdict(run.config),
        versions=versions(),
        metrics=metrics,
        baseline=baseline.metrics() if baseline else None,
        calibration=calibration,
        heat_maps=maps,
        scatter=scatter,
        clips=_clips(run, first, checkpoint),
        summary=_summary(metrics, returns, baseline_returns),
    )


def _summary(metrics: list[dict[str, Any]], returns: Array, baseline: Array | None) -> Summary:
    mean = float(returns.mean())
    baseline_mean = None if baseline is None else float(baseline.mean())
    last = metrics[-1] if metrics else {}
    return Summary(
        final_return=mean,
        final_interval=mean_interval(returns),
        episodes=len(returns),
        baseline_return=baseline_mean,
        ratio=mean / baseline_mean if baseline_mean is not None and baseline_mean > 0 and mean > 0 else None,
        labels=last.get("labels"),
        steps=last.get("step"),
        seconds=last.get("seconds"),
    )


def comparisons_of(run: Run, critic: Critic | None) -> Comparisons:
    """All usable answers of a run, as its reward model was fitted to them; ``critic`` gives values of clips' ends."""
    config = run.config
    with Store.open(run.folder / layout.FEEDBACK, create=False) as store:
        feedback = Feedback(store, config.feedback, lambda segments, round: None, lambda: None)
        # in the order in which the fit had them, for who is held out depends on it
        last_event = store.last_event() if config.asynchronous else None
        return feedback.comparisons(None, config.reward.members, config.seed, critic, config.reward.latest, last_event)


def _calibration(run: Run, model: RewardEnsemble, policy: ActorCritic) -> Calibration | None:
    data = comparisons_of(run, None if run.config.reward.preference == "partial-return" else policy.value)
    return Calibration(*held_out(model, data)) if len(data) else None


def heat_maps(envs: VectorEnv, model: RewardEnsemble) -> HeatMaps | None:
    """Learned and true reward over ball and paddle, for Rally and Duel; None elsewhere.

    The ball stands beside the agent's column and comes straight at it: the moment at which a hit or a miss is
    decided. Each cell is one exact state, asked of the model and stepped in the environment.
    """
    if not isinstance(envs, DuelVector | RallyVector) or model.pixels:
        return None
    height, width, paddle = envs.height, envs.width, envs.paddle
    balls, paddles = np.arange(height), np.arange(height - paddle + 1)
    grid = [(y, top) for top in paddles for y in balls]
    court = type(envs)(len(grid), height=height, width=width, paddle=paddle)
    court.reset(seed=0)
    states = np.zeros((len(grid), len(court.variables)), np.int16)
    fixed = {"ball_x": width - 2, "dx": 1, "dy": 0, "opponent": (height - paddle) // 2}
    for index, name in enumerate(court.variables):
        states[:, index] = fixed.get(name, 0)
    states[:, court.variables.index("ball_y")] = [y for y, _ in grid]
    states[:, court.variables.index("own")] = [top for _, top in grid]
    observations = court.set_states(states)
    stay = np.zeros(len(grid), np.int64)
    with torch.inference_mode():
        model.eval()
        raw = model(torch.from_numpy(np.ascontiguousarray(observations)), torch.from_numpy(stay))
        learned = ((raw - model.member_mean[:, None]) / model.member_std[:, None]).mean(dim=0).numpy()
    _, true, *_ = court.step(stay)
    shape = (len(paddles), len(balls))
    return HeatMaps(
        learned.reshape(shape),
        np.asarray(true, np.float64).reshape(shape),
        x_label="ball's row",
        y_label="top of the paddle",
        note="The ball is beside the agent's column and flies straight at it.",
    )


def _scatter(envs: VectorEnv, policy: ActorCritic, model: RewardEnsemble, points: int = 3000) -> Scatter:
    """Learned against true reward on fresh steps of the latest policy, thinned so that rare rewards are seen."""
    box: list[TrueReward] = []
    collector = VectorCollector(envs, policy, box.append)
    collector.reset(np.random.SeedSequence(EVALUATION_SEED))
    steps = SCATTER_PIXEL_STEPS if model.pixels else SCATTER_STEPS
    trajectory = collector.collect(max(1, steps // envs.num_envs))
    learned, true = model.rewards(trajectory)[trajectory.mask], box[0].rewards[trajectory.mask]
    chosen = np.random.default_rng(0).permutation(len(true))[:points]
    return Scatter(learned[chosen].astype(np.float64), true[chosen].astype(np.float64))


def _clips(run: Run, first: Checkpoint, last: Checkpoint) -> list[Clip]:
    clips = []
    folder = run.folder / layout.CLIPS
    for kind, checkpoint, caption in (
        ("before", first, "The untrained policy"),
        ("after", last, f"After {run.metrics()[-1]['step']:,} steps"),
    ):
        try:
            video = clip_of(run, checkpoint)
        except NoPicture:  # by the environment's own word: nothing is wrong with it
            return []
        except PlauditError as error:
            warnings.warn(f"no clips in the report: {error}", stacklevel=2)
            return []
        with disk_errors(folder):
            folder.mkdir(exist_ok=True)
            replace_bytes(folder / f"{kind}.webm", video.webm)
        clips.append(Clip(caption, video.webm, video.poster, cast(Any, kind)))
    return clips


def versions() -> dict[str, str]:
    """What the numbers depend on besides the settings."""
    names = ("torch", "numpy", "gymnasium")
    return {"plaudit": __version__, "python": platform.python_version()} | {name: version(name) for name in names}


def command_of(config: RunConfig, folder: Path) -> str:
    """The shortest command that reproduces a run."""
    return f"plaudit train --config {folder / layout.CONFIG} --out {folder}-again"
