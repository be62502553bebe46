"""`plaudit baseline`: what RLHF is held against, from demonstrations; and the true-reward baseline of a run."""

from __future__ import annotations

import contextlib
import difflib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from plaudit import layout
from plaudit.api.baselines import clone, dagger, demonstrate, describe_result, infer_reward, open_table
from plaudit.api.console import write_line
from plaudit.baselines.bc import CloningConfig
from plaudit.baselines.dagger import DaggerConfig
from plaudit.baselines.demonstrations import Demonstrations
from plaudit.baselines.folder import Imitation
from plaudit.baselines.identify import share_of_return, try_potentials
from plaudit.baselines.irl import FormName, IrlConfig
from plaudit.cli.arguments import RunArguments, parse
from plaudit.files import replace_file, replace_text
from plaudit.run.control.config import Run
from plaudit.run.control.true_reward import true_reward_session
from plaudit.run.disk import disk_errors
from plaudit.types import PlauditError

HELP = """Baselines that RLHF is held against; they learn from demonstrations instead of comparisons.

  plaudit baseline demonstrate       let an expert play episodes, and write them to a file
  plaudit baseline bc                imitate demonstrations: behaviour cloning
  plaudit baseline dagger            imitate an expert in the states that the learner visits
  plaudit baseline irl               infer the reward that demonstrators had in mind
  plaudit baseline RUN               train a run's baseline on the true reward (`plaudit train ENV --baseline` does it)

examples:
  plaudit baseline demonstrate --env Delivery --episodes 10 --out ten.npz
  plaudit baseline bc --demonstrations ten.npz
  plaudit baseline dagger --env Delivery --expert optimal
  plaudit baseline irl --demonstrations ten.npz

plaudit baseline METHOD --help explains a method."""
DEMONSTRATE = """Let an expert play episodes, and write what it saw and did to an .npz file of arrays.

examples:
  plaudit baseline demonstrate --env Delivery --episodes 10 --out ten.npz
  plaudit baseline demonstrate --env CartPole-v1 --expert runs/CartPole-v1 --out cart.npz"""
BC = """Fit a policy to demonstrations by behaviour cloning: the likelihood of the demonstrated actions, and no reward.

OUT is a folder whose policy `plaudit watch` films and `plaudit.load_policy` loads; OUT/result.json has the return.

examples:
  plaudit baseline bc --demonstrations ten.npz
  plaudit baseline bc --demonstrations minari/cartpole/expert-v0 --env CartPole-v1 --held-out 0.2"""
DAGGER = """Fit a policy to an expert's actions in the states that the policy itself visits (Ross et al. 2011).

OUT is a folder whose policy `plaudit watch` films and `plaudit.load_policy` loads; OUT/result.json has the return.

examples:
  plaudit baseline dagger --env Delivery --expert optimal
  plaudit baseline dagger --env CartPole-v1 --expert runs/CartPole-v1 --dagger.rounds 10"""
IRL = """Infer the reward that explains demonstrations, by maximum causal entropy (Ziebart 2010).

The solution is exact, so the environment's states must be countable: Delivery, MovingDot, Vase, FrozenLake-v1, ...

OUT/result.json has the weights and what they are worth; OUT/reward.npz has the weights and the reward (S, A).

examples:
  plaudit baseline irl --demonstrations soft.npz
  plaudit baseline irl --demonstrations soft.npz --form state-action"""


@dataclass(frozen=True)
class DemonstrateArguments:
    """Who plays what."""

    env: str
    """Name of the environment, as for `plaudit train`."""
    out: Path
    """File to write (.npz)."""
    expert: str = "optimal"
    """Expert: optimal (an exact solution, where states can be counted), soft (the same, better actions more often; what
    irl assumes), or the folder of a run, whose policy plays its likeliest actions."""
    episodes: int = 10
    """Number of episodes."""
    seed: int = 0
    """Seed of the episodes and of a soft expert."""
    trust: bool = False
    """Trust the modules that the expert's settings name, although somebody else made the run."""


@dataclass(frozen=True)
class BcArguments:
    """What is imitated."""

    demonstrations: Path
    """Demonstrations: a file of `plaudit baseline demonstrate`, or a folder or HDF5 file of Minari."""
    env: str | None = None
    """Name of the environment, if the demonstrations do not say it."""
    out: Path | None = None
    """Folder; default: runs/ENV-bc, with a number if that folder exists."""
    held_out: float = 0.0
    """Share of the demonstrations, the last ones, that only measure."""
    episodes: int = 128
    """Number of episodes in which the policy's return is measured."""
    seed: int = 0
    """Seed of the weights and of the order of steps."""
    fit: CloningConfig = field(default_factory=CloningConfig)


@dataclass(frozen=True)
class DaggerArguments:
    """Who is asked."""

    env: str
    """Name of the environment, as for `plaudit train`."""
    expert: str = "optimal"
    """Expert: optimal (an exact solution, where states can be counted), soft, or the folder of a run."""
    out: Path | None = None
    """Folder; default: runs/ENV-dagger, with a number if that folder exists."""
    episodes: int = 128
    """Number of episodes in which the policy's return is measured."""
    seed: int = 0
    """Seed of the weights, of the order of steps and of the episodes."""
    trust: bool = False
    """Trust the modules that the expert's settings name, although somebody else made the run."""
    dagger: DaggerConfig = field(default_factory=DaggerConfig)
    fit: CloningConfig = field(default_factory=CloningConfig)


@dataclass(frozen=True)
class IrlArguments:
    """What is explained, and how."""

    demonstrations: Path
    """Demonstrations: a file of `plaudit baseline demonstrate`, or a folder or HDF5 file of Minari."""
    env: str | None = None
    """Name of the environment, if the demonstrations do not say it."""
    form: FormName = "linear"
    """Form of the reward: linear (in the environment's features), state-action, next-state, or transition (s, s')."""
    horizon: int | None = None
    """Number of steps over which the demonstrators planned; default: those of an episode."""
    potentials: int = 200
    """Number of random potentials that shape the true reward, to count those that leave the optimal actions as they
    are."""
    out: Path | None = None
    """Folder for result.json and reward.npz; default: nothing is written."""
    seed: int = 0
    """Seed of the potentials."""
    fit: IrlConfig = field(default_factory=IrlConfig)


def baseline(arguments: list[str]) -> int:
    """`plaudit baseline METHOD`, or `plaudit baseline RUN`."""
    if not arguments or arguments[0] in ("-h", "--help", "--help-all"):
        print(HELP)
        return 0
    if arguments[0] in METHODS:
        return METHODS[arguments[0]](arguments[1:])
    if not Path(arguments[0]).exists() and not arguments[0].startswith("-"):
        nearest = difflib.get_close_matches(arguments[0].casefold(), METHODS, n=1, cutoff=0.6)
        hint = f"did you mean {nearest[0]}?" if nearest else f"use one of {', '.join(METHODS)}, or the folder of a run"
        raise PlauditError(f"there is no baseline {arguments[0]!r}: {hint}")
    return _train_on_true_reward(arguments)


def _demonstrate(arguments: list[str]) -> int:
    parsed = parse(DemonstrateArguments, arguments, "baseline demonstrate", DEMONSTRATE)
    data = demonstrate(
        parsed.env,
        expert=parsed.expert,
        episodes=parsed.episodes,
        seed=parsed.seed,
        out=parsed.out,
        trust=parsed.trust,
    )
    mean = float(np.mean(data.returns))
    write_line(f"{parsed.out}: {data.episodes} episodes, {len(data):,} steps, mean return {mean:.2f}")
    return 0


def _bc(arguments: list[str]) -> int:
    parsed = parse(BcArguments, arguments, "baseline bc", BC)
    folder = clone(
        parsed.demonstrations,
        parsed.env,
        out=parsed.out,
        held_out=parsed.held_out,
        episodes=parsed.episodes,
        seed=parsed.seed,
        fit=parsed.fit,
    )
    return _print_result(folder)


def _dagger(arguments: list[str]) -> int:
    parsed = parse(DaggerArguments, arguments, "baseline dagger", DAGGER)
    folder = dagger(
        parsed.env,
        expert=parsed.expert,
        out=parsed.out,
        episodes=parsed.episodes,
        trust=parsed.trust,
        seed=parsed.seed,
        dagger=parsed.dagger,
        fit=parsed.fit,
    )
    return _print_result(folder)


def _print_result(folder: Imitation) -> int:
    write_line(describe_result(folder))
    write_line(f"policy: {folder.folder}")
    return 0


def _irl(arguments: list[str]) -> int:
    parsed = parse(IrlArguments, arguments, "baseline irl", IRL)
    if parsed.potentials < 0 or (parsed.horizon is not None and parsed.horizon < 1):
        raise PlauditError(f"--potentials is at least 0 and --horizon at least 1, got {parsed.potentials}")
    data = Demonstrations.load(parsed.demonstrations)
    environment = parsed.env or data.environment
    inferred = infer_reward(data, environment, form=parsed.form, horizon=parsed.horizon, **asdict(parsed.fit))
    table, horizon = open_table(environment)
    share = share_of_return(table, inferred.reward, horizon)
    result = {
        "form": parsed.form,
        "demonstrations": data.episodes,
        "likelihood": inferred.likelihood,
        "gap": inferred.gap,
        "share_of_return": share,
    }
    write_line(
        f"{parsed.form} reward from {data.episodes} demonstrations: a policy that is optimal for it has {share:.2f} of "
        f"the possible return (0: random, 1: the best); largest difference of a feature's count {inferred.gap:.3f}"
    )
    if parsed.form == "linear":
        result["weights"] = dict(zip(table.feature_names, inferred.weights.tolist(), strict=True))
        write_line("  ".join(f"{name} {weight:.2f}" for name, weight in result["weights"].items()))
    if parsed.potentials:
        shaping = try_potentials(table, parsed.potentials, parsed.seed)
        result["potentials"] = asdict(shaping)
        write_line(
            f"{shaping.unchanged} of {shaping.count} shaped rewards have the true reward's optimal actions (their mean "
            f"correlation with it is {shaping.correlation:.2f}): demonstrations at home cannot tell them apart"
        )
    if parsed.out is not None:
        with disk_errors(parsed.out):
            parsed.out.mkdir(parents=True, exist_ok=True)
            replace_text(parsed.out / layout.RESULT, json.dumps(result, indent=2) + "\n")
            with replace_file(parsed.out / "reward.npz") as partial, partial.open("wb") as file:
                np.savez_compressed(file, weights=inferred.weights, reward=inferred.reward)
        write_line(f"reward: {parsed.out}")
    return 0


def _train_on_true_reward(arguments: list[str]) -> int:
    """The true-reward baseline in its own process; `train --baseline` starts it."""
    parsed = parse(RunArguments, arguments, "baseline", "Train (or resume) the true-reward baseline in a run folder.")
    run = Run.open(parsed.run)
    run.check_trust(parsed.trust)
    with run.training():
        session, close = true_reward_session(run)
        with contextlib.ExitStack() as ending:
            ending.callback(close)
            for _ in session.rounds():
                pass
    return 0


METHODS: dict[str, Callable[[list[str]], int]] = {
    "demonstrate": _demonstrate,
    "bc": _bc,
    "dagger": _dagger,
    "irl": _irl,
}
