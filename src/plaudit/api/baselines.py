"""``plaudit.demonstrate``, ``clone``, ``dagger`` and ``infer_reward``: what RLHF is held against."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import warnings
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch
from gymnasium.vector import VectorEnv

from plaudit import layout
from plaudit.api.agents import open_agent
from plaudit.api.console import console, free_folder, quiet
from plaudit.api.paths import check_path
from plaudit.api.progress import bar
from plaudit.api.settings import change_settings
from plaudit.baselines import bc
from plaudit.baselines.dagger import dagger as dagger_rounds
from plaudit.baselines.demonstrations import Demonstrations, open_envs, play
from plaudit.baselines.experts import EXACT, Expert, PolicyExpert, exact_expert
from plaudit.baselines.folder import Imitation, ImitationConfig, measure_returns
from plaudit.baselines.irl import InferredReward, IrlConfig, count_visits, infer, make_form
from plaudit.control.ends import AbsorbAfterEnd, RestartAfterEnd
from plaudit.control.make import EnvironmentConfig, make
from plaudit.control.tables import Table, table_of
from plaudit.run.control.config import defaults
from plaudit.run.control.look import policy_of
from plaudit.run.stored import IMITATION
from plaudit.types import PlauditError

PARAMETERS = ("out", "episodes", "progress", "held_out", "trust")
Method = Literal["bc", "dagger"]


def demonstrate(
    environment: str,
    /,
    *,
    expert: str | os.PathLike[str] = "optimal",
    episodes: int = 10,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    trust: bool = False,
    **settings: Any,
) -> Demonstrations:
    """Let an expert play episodes, as `plaudit baseline demonstrate` does.

    Args:
        environment: a Gymnasium id, or one of Plaudit's environments.
        expert: ``"optimal"`` or ``"soft"``, where states can be counted, or the folder of a run.
        episodes: number of episodes.
        seed: of the episodes, and of a soft expert's actions.
        out: an .npz file to write; None: none.
        trust: import the modules that the settings of somebody else's run name.
        settings: settings of the environment, as ``environment={"kwargs": ("gust=0.2",)}``.

    Returns:
        The episodes. ``save(path)`` writes them, and `plaudit.Demonstrations.load(path)` reads them.

    Raises:
        PlauditError: no such environment or expert; the expert was trained in another environment.
    """
    config = _configure(environment, "bc", {"seed": seed} | settings)
    path = None if out is None else check_path(out, "out")
    torch.manual_seed(seed)
    envs = open_envs(config.environment, max(1, episodes))
    try:
        player = _find_expert(expert, envs, config, trust)
        demonstrations = play(envs, player.act, episodes, seed, name=config.environment.id)
    finally:
        envs.close()
    if path is not None:
        demonstrations.save(path)
    return demonstrations


def clone(
    demonstrations: Demonstrations | str | os.PathLike[str],
    /,
    environment: str | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    held_out: float = 0.0,
    episodes: int = 128,
    progress: bool = True,
    **settings: Any,
) -> Imitation:
    """Fit a policy to demonstrations by behaviour cloning, as `plaudit baseline bc` does.

    Args:
        demonstrations: the episodes, a file of them, or a dataset of Minari.
        environment: id of the environment; None: the one that the demonstrations name.
        out: folder; None: ``runs/ENV-bc``, with a number if that folder exists.
        held_out: share of the episodes, the last ones, that only measure.
        episodes: number of episodes in which the policy's return is measured.
        progress: show progress on standard error.
        settings: any setting of `plaudit.baselines.folder.ImitationConfig`: ``seed=1``, ``fit={"steps": 1000}``.

    Returns:
        The folder. `plaudit.load_policy` loads its policy, and ``result()`` has what was measured.

    Raises:
        PlauditError: the demonstrations cannot be read or are not of the environment; a setting is not possible.
    """
    data = demonstrations if isinstance(demonstrations, Demonstrations) else None
    data = data or Demonstrations.load(check_path(demonstrations, "demonstrations"))
    if not (environment or data.environment):
        raise PlauditError("the demonstrations do not name their environment: name it (--env)")
    config = _configure(environment or data.environment, "bc", settings)
    if not 0 <= held_out < 1:
        raise PlauditError(f"held_out is a share of the episodes in [0, 1), got {held_out}")
    test = int(held_out * data.episodes)
    training = data.select(slice(data.episodes - test))
    with _session(config, out, progress) as (folder, envs, report):
        policy = bc.clone(
            envs,
            training,
            config.network,
            config.fit,
            config.seed,
            lambda done, total, metrics: report("fitting", done, total, f"loss {metrics['loss']:.3f}"),
        )
        held_in = dataclasses.asdict(bc.measure(envs, policy, training))
        result: dict[str, Any] = {"demonstrations": training.episodes, "steps": len(training), "held_in": held_in}
        if test:
            result["held_out"] = dataclasses.asdict(bc.measure(envs, policy, data.select(slice(-test, None))))
        folder.append({"round": 0, "loss": held_in["loss"], "accuracy": held_in["accuracy"]})
        folder.save_policy(0, policy)
        training.save(folder.folder / layout.DEMONSTRATIONS)
        _finish(folder, policy, result, training, episodes)
    return folder


def dagger(
    environment: str,
    /,
    *,
    expert: str | os.PathLike[str] = "optimal",
    out: str | os.PathLike[str] | None = None,
    episodes: int = 128,
    progress: bool = True,
    trust: bool = False,
    **settings: Any,
) -> Imitation:
    """Fit a policy to an expert's actions in the states that the policy itself visits, as `plaudit baseline dagger`.

    Args:
        environment: a Gymnasium id, or one of Plaudit's environments.
        expert: ``"optimal"`` or ``"soft"``, where states can be counted, or the folder of a run.
        out: folder; None: ``runs/ENV-dagger``, with a number if that folder exists.
        episodes: number of episodes in which the last policy's return is measured.
        progress: show progress on standard error.
        trust: import the modules that the settings of somebody else's run name.
        settings: any setting of `plaudit.baselines.folder.ImitationConfig`: ``dagger={"rounds": 10}``.

    Returns:
        The folder, as `plaudit.clone` returns it.

    Raises:
        PlauditError: as `plaudit.demonstrate` and `plaudit.clone`.
    """
    config = _configure(environment, "dagger", {"expert": str(expert)} | settings)
    with _session(config, out, progress, config.dagger.episodes) as (folder, envs, report):
        player = _find_expert(expert, envs, config, trust)
        last, first = None, None
        for last in dagger_rounds(envs, player, config.network, config.fit, config.dagger, config.seed):
            likelihood = bc.measure(envs, last.policy, last.data)
            row = {"round": last.number, "labels": len(last.data), **dataclasses.asdict(likelihood)}
            folder.append(row | {"agreement": last.agreement})
            folder.save_policy(last.number, last.policy)
            first = first or last.data
            facts = f"{len(last.data):,} labels" + (f"  agreement {last.agreement:.2f}" if last.agreement else "")
            report("round", last.number + 1, config.dagger.rounds, facts)
        assert last is not None and first is not None
        data = dataclasses.replace(last.data, environment=config.environment.id, returns=())
        data.save(folder.folder / layout.DEMONSTRATIONS)
        result = {"demonstrations": first.episodes, "labels": len(last.data), "agreement": last.agreement}
        _finish(folder, last.policy, result, first, episodes)
    return folder


def infer_reward(
    demonstrations: Demonstrations | str | os.PathLike[str],
    /,
    environment: str | None = None,
    *,
    form: str = "linear",
    horizon: int | None = None,
    progress: bool = True,
    **settings: Any,
) -> InferredReward:
    """Infer the reward that demonstrators had in mind, by maximum causal entropy, as `plaudit baseline irl` does.

    Args:
        demonstrations: the episodes, a file of them, or a dataset of Minari.
        environment: id of the environment, whose states can be counted; None: the one that the demonstrations name.
        form: what the reward may depend on: ``"linear"``, ``"state-action"``, ``"next-state"`` or ``"transition"``.
        horizon: steps over which the demonstrators planned; None: those of an episode.
        progress: show progress on standard error.
        settings: any setting of `plaudit.baselines.irl.IrlConfig`: ``steps=500``, ``l2=1e-3``.

    Returns:
        The reward as weights and as a table (S, A).

    Raises:
        PlauditError: the states cannot be counted, or do not show the demonstrations' observations.
    """
    data = demonstrations if isinstance(demonstrations, Demonstrations) else None
    data = data or Demonstrations.load(check_path(demonstrations, "demonstrations"))
    config = change_settings(IrlConfig(), [settings], IMITATION, ("form", "horizon", "progress"))
    table, steps = open_table(environment or data.environment)
    steps, longest = horizon or steps, int(data.times.max()) + 1
    if longest > steps:
        raise PlauditError(f"a demonstration has {longest} steps, and the horizon is {steps}: set --horizon {longest}")
    with bar("inferring", console=console if progress else quiet) as report:
        return infer(
            table,
            make_form(form, table),
            count_visits(table, data),
            steps,
            config,
            lambda done, total, metrics: report("inferring", done, total, f"gap {metrics['gap']:.3f}"),
        )


def open_table(environment: str) -> tuple[Table, int]:
    """The table of an environment, and the steps of its episodes.

    Raises:
        PlauditError: its states cannot be counted.
    """
    if not environment:
        raise PlauditError("the demonstrations do not name their environment: name it (--env)")
    config = defaults(environment).environment
    envs = make(dataclasses.replace(config, num_envs=1))
    try:
        table = table_of(envs)
    finally:
        envs.close()
    if table is None:
        raise PlauditError(
            f"the states of {config.id} cannot be counted: inverse RL is exact, and needs Delivery, MovingDot, Vase or "
            "an environment with Gymnasium's table P, such as FrozenLake-v1"
        )
    return table, _horizon(config)


def describe_result(folder: Imitation) -> str:
    """What was measured, in one line."""
    result = folder.result()
    low, high = result["interval"]
    line = f"return {result['return']:.2f} [{low:.2f}, {high:.2f}] over {result['episodes']} episodes"
    if result["expert_return"] is not None:
        line += f"; the demonstrators had {result['expert_return']:.2f}"
    for name, title in (("held_in", "on the demonstrations"), ("held_out", "on held-out ones")):
        if result.get(name, {}).get("accuracy") is not None:
            line += f"; accuracy {result[name]['accuracy']:.2f} {title}"
    if result.get("agreement") is not None:
        line += f"; {result['labels']:,} labels, agreement with the expert in its own states {result['agreement']:.2f}"
    return line


@contextlib.contextmanager
def _session(
    config: ImitationConfig, out: str | os.PathLike[str] | None, progress: bool, episodes: int = 1
) -> Iterator[tuple[Imitation, VectorEnv, Any]]:
    """The folder, environments to be played, and what shows progress."""
    path = None if out is None else check_path(out, "out")
    envs = open_envs(config.environment, episodes)
    try:
        folder = Imitation.create(path or free_folder(f"{config.environment.short_name}-{config.method}"), config)
        with folder.training(), bar("fitting", console=console if progress else quiet) as report:
            yield folder, envs, report
    finally:
        envs.close()


def _finish(
    folder: Imitation, policy: Any, result: dict[str, Any], demonstrations: Demonstrations, episodes: int
) -> None:
    expert_return = float(np.mean(demonstrations.returns)) if demonstrations.returns else None
    measured = measure_returns(folder.config.environment, policy, episodes)
    folder.save_result(result | {"expert_return": expert_return} | measured)


def _configure(environment: str, method: Method, settings: dict[str, Any]) -> ImitationConfig:
    """The network and the environment that `plaudit train` would take, and the settings laid over them."""
    base = defaults(environment)
    config = ImitationConfig(base.environment, method, base.network)
    return change_settings(config, [settings], IMITATION, PARAMETERS)


def _find_expert(
    expert: str | os.PathLike[str], envs: VectorEnv, config: ImitationConfig, trust: bool = False
) -> Expert:
    if expert in EXACT:
        return exact_expert(str(expert), envs, _horizon(config.environment), config.seed)
    path = check_path(expert, "expert")
    if not (path / layout.CONFIG).exists():
        raise PlauditError(f"expert must be {' or '.join(EXACT)}, or the folder of a run, got {str(expert)!r}")
    run = open_agent(path, trust)
    if run.config.environment.id != config.environment.id:
        raise PlauditError(
            f"the expert {path} was trained in {run.config.environment.id}, and not in {config.environment.id}: name "
            "another expert or environment"
        )
    return PolicyExpert(policy_of(run, run.load(), envs).eval(), str(path))


def _horizon(config: EnvironmentConfig) -> int:
    """Steps of an episode."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they came when the environments were made
        envs = make(dataclasses.replace(config, num_envs=1, ends=None))
    envs.close()
    if not isinstance(envs, AbsorbAfterEnd | RestartAfterEnd):
        raise PlauditError(f"{config.id} has no horizon, which exact solutions need: name the folder of a run")
    return envs.horizon
