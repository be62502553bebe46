"""Behaviour cloning, DAgger and inverse RL beside RLHF, against minutes of a person's time.

    python benchmarks/baselines.py                  all parts, about half an hour on one core
    python benchmarks/baselines.py lane delivery.bc some of them, by name (--help lists them)
    python benchmarks/baselines.py --page --answer-seconds 2    the page and the plot again, with another assumption

Parts are kept in benchmarks/results/baselines.json as they end; baselines.md and baselines.svg are made from that file.
The part `peer` runs imitation in its own environment (benchmarks/peers/install.sh; PLAUDIT_PEER_IMITATION names another
interpreter).
The RLHF points of Duel are those of benchmarks/results/duel.jsonl.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from baselines_page import draw, write_page

import plaudit
from plaudit.baselines import bc, identify, lane
from plaudit.baselines.dagger import DaggerConfig, dagger
from plaudit.baselines.demonstrations import Demonstrations, open_envs, play
from plaudit.baselines.experts import Expert, OptimalExpert, PolicyExpert
from plaudit.baselines.folder import measure_returns
from plaudit.baselines.irl import count_visits, exact_visits, infer, make_form
from plaudit.control.environments.delivery import knox_board
from plaudit.control.make import EnvironmentConfig
from plaudit.control.networks import ActorCritic, NetworkConfig
from plaudit.control.tables import table_of
from plaudit.run.control import look
from plaudit.run.control.assemble import preference_session
from plaudit.run.control.config import Run, defaults
from plaudit.run.control.true_reward import true_reward_session

RESULTS = Path(__file__).parent / "results"
FILE = RESULTS / "baselines.json"
COSTS = {  # seconds of a person's time, assumed
    "answer": 5.0,  # a comparison of two clips: 3 to 5 s in Christiano et al. 2017
    "demonstration": 30.0,  # an episode that a person plays
    "label": 3.0,  # a state that a person looks at to name the right action: DAgger
}
COUNTS = (1, 3, 10, 30)  # demonstrations
SEEDS = 5
IRL_HORIZON = 60
CHANGES = 30
SHIFTS = (0.0, 0.5, 0.9, 1.1, 2.0)
EPISODES = 200
TRUE_STEPS = {"Delivery": 1_500_000, "Duel": 3_000_000, "CartPole-v1": 500_000}  # of a run
PEER = os.environ.get("PLAUDIT_PEER_IMITATION", str(RESULTS.parents[1] / ".peers" / "imitation" / "bin" / "python"))
CACHE = Path(tempfile.gettempdir()) / "plaudit-baselines"  # the experts, which are trained once


def delivery_config() -> tuple[EnvironmentConfig, NetworkConfig]:
    """Delivery with a network that takes one-hot tiles as they are."""
    return defaults("Delivery").environment, NetworkConfig(normalise=False)


def measure_cloning() -> dict[str, Any]:
    """Delivery from few demonstrations: the share of optimal actions, and exact returns, with and without drawing."""
    environment, network = delivery_config()
    envs = open_envs(environment, 1)
    table = table_of(envs)
    assert table is not None
    best = identify.best_actions(table.process())
    fresh = plaudit.demonstrate("Delivery", episodes=400, seed=5)
    rows = []
    for count in COUNTS:
        for seed in range(SEEDS):
            data = plaudit.demonstrate("Delivery", episodes=count, seed=1000 * seed + count)
            policy = bc.clone(envs, data, network, bc.CloningConfig(steps=200), seed)
            greedy = policy.act(table.observations, np.random.default_rng(0), greedy=True)[0]
            is_right = best[np.arange(len(greedy)), greedy]
            shown, visited = table.locate(data.observations), table.locate(fresh.observations)
            new = visited[~np.isin(visited, shown)]
            sampled = lane.action_probabilities(policy, table)
            rows.append(
                {
                    "count": count,
                    "held_in": float(is_right[shown].mean()),
                    "held_out": float(is_right[visited].mean()),
                    "unseen": float(is_right[new].mean()) if len(new) else None,
                    "return": table.expected_return(np.eye(4)[greedy], 100),
                    "sampled": table.expected_return(sampled, 100),
                }
            )
    return {"rows": rows, "expert": table.optimal_return(100)}


def measure_lane() -> dict[str, Any]:
    """How costs grow with the horizon."""
    return {
        "horizons": lane.HORIZONS,
        "learners": {
            name: {"cost": costs.cost.tolist(), "slopes": costs.slopes.tolist(), "slope": costs.slope}
            for name, costs in lane.compare_cloning(SEEDS).items()
        },
    }


def measure_forms() -> dict[str, Any]:
    """Identifiability: forms of a reward, potentials, shaping, and a constant."""
    home = identify.board_table(knox_board())
    visits = exact_visits(home.process(), home.start, IRL_HORIZON)
    forms = [dataclasses.asdict(row) for row in identify.compare_forms(visits, IRL_HORIZON, CHANGES, seed=1)]
    few: dict[str, dict[str, float]] = {}
    for count in (1, 10, 100):
        data = show_softly(count, seed=10 + count)
        counted = count_visits(home, data)
        few[str(count)] = {
            name: identify.share_of_return(
                home, infer(home, make_form(name, home), counted, IRL_HORIZON).reward, IRL_HORIZON
            )
            for name in ("linear", "state-action", "next-state", "transition")
        }
    return {
        "forms": forms,
        "few": few,
        "potentials": dataclasses.asdict(identify.try_potentials(home, 200, seed=0)),
        "shaping": identify.compare_shaping(CHANGES, seed=100),
        "shifts": {str(shift): share for shift, share in identify.shift_shares(home, SHIFTS, 100).items()},
    }


def show_softly(count: int, seed: int) -> Demonstrations:
    """Demonstrations of the soft-optimal expert, who plans as many steps ahead as inverse RL takes it to do."""
    settings = {"kwargs": (f"horizon={IRL_HORIZON}",)}
    return plaudit.demonstrate("Delivery", expert="soft", episodes=count, seed=seed, environment=settings)


def delivery_expert() -> tuple[Any, OptimalExpert]:
    """The table of Delivery and its exact optimum."""
    table = table_of(open_envs(delivery_config()[0], 1))
    assert table is not None
    return table, OptimalExpert(table)


def trained_expert(name: str) -> PolicyExpert:
    """The policy that the environment's own reward trained; CartPole's is left for the peer."""
    return PolicyExpert(train_expert(name)[0], "true reward")


def read_duel() -> list[dict[str, Any]]:
    """RLHF on Duel, as duel.py measured it."""
    lines = (RESULTS / "duel.jsonl").read_text(encoding="utf-8").splitlines()
    setting = {"annotator": "oracle", "steps": TRUE_STEPS["Duel"], "algorithm": "ppo", "offline": False}
    runs = [run for run in map(json.loads, lines) if all(run[key] == value for key, value in setting.items())]
    return [{"answers": run["budget"], "return": run["return"]} for run in runs]


def measure_peer() -> dict[str, Any]:
    """imitation's BC and DAgger beside ours, on the same 1, 3 and 10 demonstrations and with the same expert."""
    environment, network = setup("CartPole-v1")
    expert = trained_expert("CartPole-v1")
    data = play(open_envs(environment, 30), expert.act, 30, 7, name=environment.id)
    data.save(CACHE / "demonstrations.npz")
    save_expert(expert.policy, CACHE / "expert.npz")
    envs, ours = open_envs(environment, 1), []
    for count in (1, 3, 10):
        for seed in range(3):
            started = time.process_time()
            policy = bc.clone(envs, data.select(slice(count)), network, bc.CloningConfig(), seed)
            seconds = time.process_time() - started
            ours.append({"method": "bc", "count": count, "seconds": seconds} | _score(environment, policy))
    for seed in range(3):
        started = time.process_time()
        last = list(dagger(envs, expert, network, bc.CloningConfig(), DaggerConfig(4, 1), seed))[-1]
        seconds = time.process_time() - started
        effort = {"method": "dagger", "labels": len(last.data), "seconds": seconds}
        ours.append(effort | _score(environment, last.policy))
    script = RESULTS.parent / "peers" / "imitation_bc.py"
    command = [PEER, str(script), str(CACHE / "demonstrations.npz"), str(CACHE / "expert.npz")]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {"ours": ours, "imitation": json.loads(output.splitlines()[-1])}


def save_expert(network: ActorCritic, path: Path) -> None:
    """The weights of a policy's layers, for a program that has no Plaudit."""
    layers = [module for module in (*network.trunk.modules(), network.head) if isinstance(module, torch.nn.Linear)]
    arrays = {}
    for number, layer in enumerate(layers):
        arrays[f"weight{number}"], arrays[f"bias{number}"] = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    np.savez(path, **arrays)


def _score(environment: EnvironmentConfig, policy: ActorCritic) -> dict[str, float]:
    return {"return": measure_returns(environment, policy, EPISODES)["return"]}


def clone_curve(name: str, expert: Expert, counts: tuple[int, ...], seeds: int) -> list[dict[str, Any]]:
    """Behaviour cloning of an expert."""
    environment, network = setup(name)
    envs, rows = open_envs(environment, 1), []
    for count in counts:
        for seed in range(seeds):
            shown = open_envs(environment, count)
            data = play(shown, expert.act, count, 1000 * seed + count, name=environment.id)
            policy = bc.clone(envs, data, network, bc.CloningConfig(), seed)
            rows.append({"demonstrations": count} | _score(environment, policy))
    return rows


def dagger_curve(name: str, expert: Expert, config: DaggerConfig, seeds: int) -> list[dict[str, Any]]:
    """A point for each round after the first, which only clones."""
    environment, network = setup(name)
    rows = []
    for seed in range(seeds):
        envs = open_envs(environment, config.episodes)
        shown = 0
        for number, step in enumerate(dagger(envs, expert, network, bc.CloningConfig(), config, seed)):
            if number == 0:
                shown = len(step.data)
                continue
            effort = {"round": number, "demonstrations": config.episodes, "labels": len(step.data) - shown}
            rows.append(effort | _score(environment, step.policy))
    return rows


def setup(name: str) -> tuple[EnvironmentConfig, NetworkConfig]:
    """The environment and the network of a curve."""
    return delivery_config() if name == "Delivery" else (defaults(name).environment, defaults(name).network)


def irl_curve() -> list[dict[str, Any]]:
    """The optimum of the reward that is linear in the features, from soft-optimal demonstrations."""
    table, _ = delivery_expert()
    rows = []
    for count in (1, 3, 10):
        for seed in range(3):
            data = show_softly(count, seed=1000 * seed + count)
            inferred = infer(table, make_form("linear", table), count_visits(table, data), IRL_HORIZON)
            rows.append({"demonstrations": count, "return": identify.greedy_return(table, inferred.reward, 100)})
    return rows


def rlhf_curve(name: str, answers: tuple[int, ...], seeds: int) -> list[dict[str, Any]]:
    """RLHF from an oracle's answers."""
    rows = []
    for count in answers:
        for seed in range(seeds):
            config = defaults(name)
            feedback = dataclasses.replace(config.feedback, labels=count)
            config = dataclasses.replace(config, steps=TRUE_STEPS[name], seed=seed, feedback=feedback, threads=1)
            with tempfile.TemporaryDirectory() as folder:
                run = Run.create(Path(folder) / "run", config)
                session, close = preference_session(run)
                _finish(session.rounds())
                close()
                rows.append({"answers": count, "return": float(look.measure_returns(run, EPISODES).mean())})
    return rows


def train_expert(name: str) -> tuple[ActorCritic, float]:
    """The policy that the environment's own reward trains, and its return; trained once."""
    config = dataclasses.replace(defaults(name), steps=TRUE_STEPS[name], threads=1)
    folder = CACHE / name
    run = Run.open(folder) if (folder / "config.json").exists() else Run.create(folder, config)
    session, close = true_reward_session(run)
    _finish(session.rounds())
    close()
    policy = look.policy_of(run, run.load(), open_envs(config.environment, 1)).eval()
    return policy, float(look.measure_returns(run, EPISODES).mean())


def _finish(rounds: Iterator[Any]) -> None:
    for _ in rounds:
        pass


PARTS: dict[str, Callable[[], Any]] = {  # a curve is TASK.LEARNER
    "cloning": measure_cloning,
    "lane": measure_lane,
    "forms": measure_forms,
    "delivery.expert": lambda: delivery_expert()[0].optimal_return(100),
    "delivery.bc": lambda: clone_curve("Delivery", delivery_expert()[1], COUNTS, SEEDS),
    "delivery.dagger": lambda: dagger_curve("Delivery", delivery_expert()[1], DaggerConfig(6, 3), 3),
    "delivery.irl": irl_curve,
    "delivery.rlhf": lambda: rlhf_curve("Delivery", (30, 100, 300), 1),
    "cartpole.expert": lambda: train_expert("CartPole-v1")[1],
    "cartpole.bc": lambda: clone_curve("CartPole-v1", trained_expert("CartPole-v1"), (1, 3, 10), 3),
    "cartpole.dagger": lambda: dagger_curve("CartPole-v1", trained_expert("CartPole-v1"), DaggerConfig(4, 1), 3),
    "cartpole.rlhf": lambda: rlhf_curve("CartPole-v1", (50, 200), 2),
    "peer": measure_peer,
    "duel.expert": lambda: train_expert("Duel")[1],
    "duel.bc": lambda: clone_curve("Duel", trained_expert("Duel"), (1, 3, 10), 3),
    "duel.dagger": lambda: dagger_curve("Duel", trained_expert("Duel"), DaggerConfig(3, 1), 3),
    "duel.rlhf": read_duel,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"{', '.join(PARTS)}; none: all of them")
    parser.add_argument("--page", action="store_true", help="measure nothing, write the pages again")
    for name, seconds in COSTS.items():
        parser.add_argument(f"--{name}-seconds", type=float, default=seconds, help=f"a person's time for one {name}")
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    for name in [] if options.page else options.parts or PARTS:
        started = time.perf_counter()
        part, _, learner = name.partition(".")
        if learner:
            results.setdefault(part, {})[learner] = PARTS[name]()
        else:
            results[part] = PARTS[name]()
        print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)
        FILE.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    costs = {name: getattr(options, f"{name}_seconds") for name in COSTS}
    write_page(results, costs, RESULTS / "baselines.md")
    draw(results, costs, RESULTS / "baselines.svg")


if __name__ == "__main__":
    main()
