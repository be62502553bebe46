"""Behaviour cloning, DAgger and inverse RL beside RLHF, against minutes of a person's time.

    python benchmarks/baselines.py                  all parts, about half an hour on one core
    python benchmarks/baselines.py lane forms       some: cloning, lane, forms, delivery, duel, cartpole, peer
    python benchmarks/baselines.py --page --answer-seconds 2    the page and the plot again, with another assumption

Parts are kept in benchmarks/results/baselines.json as they end; baselines.md and baselines.svg are made from that file.
The part `peer` runs imitation in its own environment (benchmarks/peers/install.sh; PLAUDIT_PEER_IMITATION names another
interpreter), on the demonstrations of `cartpole`.
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
PEER = os.environ.get("PLAUDIT_PEER_IMITATION", str(RESULTS.parents[1] / ".peers" / "imitation" / "bin" / "python"))
CACHE = Path(tempfile.gettempdir()) / "plaudit-baselines"  # what `cartpole` leaves for `peer`


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


def measure_delivery() -> dict[str, Any]:
    """Every learner on Delivery."""
    environment, network = delivery_config()
    envs = open_envs(environment, 3)
    table = table_of(envs)
    assert table is not None
    expert = OptimalExpert(table)
    return {
        "expert": table.optimal_return(100),
        "bc": _cloning_curve(environment, network, lambda count, seed: _show(environment, expert, count, seed), COUNTS),
        "dagger": _dagger_curve(environment, network, expert, DaggerConfig(rounds=8, episodes=3)),
        "irl": _irl_curve(table),
        "rlhf": _rlhf_curve("Delivery", (10, 30, 100, 300), 1_500_000, 3),
        "true": _true_reward("Delivery", 1_500_000)[1],
    }


def measure_duel() -> dict[str, Any]:
    """Cloning a policy that the true reward trained; RLHF is as duel.py measured it."""
    network, expert_return, environment = _true_reward("Duel", 3_000_000)
    expert = PolicyExpert(network, "true reward")
    config = defaults("Duel").network
    lines = (RESULTS / "duel.jsonl").read_text(encoding="utf-8").splitlines()
    runs = [json.loads(line) for line in lines]
    rlhf = [
        {"answers": run["budget"], "return": run["return"]}
        for run in runs
        if run["annotator"] == "oracle"
        and run["steps"] == 3_000_000
        and run["algorithm"] == "ppo"
        and not run["offline"]
    ]
    return {
        "expert": expert_return,
        "bc": _cloning_curve(
            environment, config, lambda count, seed: _show(environment, expert, count, seed), (1, 3, 10), 3
        ),
        "dagger": _dagger_curve(environment, config, expert, DaggerConfig(rounds=3, episodes=1), 3),
        "rlhf": rlhf,
    }


def measure_cartpole() -> dict[str, Any]:
    """Cloning a policy that the true reward trained, from demonstrations that the peer gets, too."""
    network, expert_return, environment = _true_reward("CartPole-v1", 500_000)
    expert = PolicyExpert(network, "true reward")
    config = defaults("CartPole-v1").network
    CACHE.mkdir(exist_ok=True)
    _show(environment, expert, 30, 7).save(CACHE / "demonstrations.npz")
    save_expert(network, CACHE / "expert.npz")
    return {
        "expert": expert_return,
        "bc": _cloning_curve(
            environment, config, lambda count, seed: _show(environment, expert, count, seed), (1, 3, 10), 3
        ),
        "dagger": _dagger_curve(environment, config, expert, DaggerConfig(rounds=4, episodes=1), 3),
        "rlhf": _rlhf_curve("CartPole-v1", (30, 100, 200), 500_000, 2),
    }


def measure_peer() -> dict[str, Any]:
    """imitation's BC and DAgger beside ours, on the same 1, 3 and 10 demonstrations and with the same expert."""
    expert = PolicyExpert(load_expert(CACHE / "expert.npz"), "true reward")
    demonstrations = CACHE / "demonstrations.npz"
    environment, config = defaults("CartPole-v1").environment, defaults("CartPole-v1").network
    data = Demonstrations.load(demonstrations)
    envs = open_envs(environment, 1)
    ours = []
    for count in (1, 3, 10):
        for seed in range(3):
            started = time.process_time()
            policy = bc.clone(envs, data.select(slice(count)), config, bc.CloningConfig(), seed)
            seconds = time.process_time() - started
            ours.append({"method": "bc", "count": count, "seconds": seconds} | _score(environment, policy))
    for seed in range(3):
        envs, started = open_envs(environment, 1), time.process_time()
        last = list(dagger(envs, expert, config, bc.CloningConfig(), DaggerConfig(rounds=4, episodes=1), seed))[-1]
        seconds = time.process_time() - started
        ours.append(
            {"method": "dagger", "labels": len(last.data), "seconds": seconds} | _score(environment, last.policy)
        )
    script = RESULTS.parent / "peers" / "imitation_bc.py"
    command = [PEER, str(script), str(demonstrations), str(CACHE / "expert.npz")]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {"ours": ours, "imitation": json.loads(output.splitlines()[-1])}


def save_expert(network: ActorCritic, path: Path) -> None:
    """The weights of a policy's layers, for a program that has no Plaudit."""
    layers = [module for module in (*network.trunk.modules(), network.head) if isinstance(module, torch.nn.Linear)]
    arrays = {}
    for number, layer in enumerate(layers):
        arrays[f"weight{number}"], arrays[f"bias{number}"] = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    np.savez(path, **arrays)


def load_expert(path: Path) -> ActorCritic:
    """The policy of CartPole whose weights :func:`save_expert` wrote."""
    envs = open_envs(defaults("CartPole-v1").environment, 1)
    network = ActorCritic(envs.single_observation_space, envs.single_action_space, defaults("CartPole-v1").network)
    layers = [module for module in (*network.trunk.modules(), network.head) if isinstance(module, torch.nn.Linear)]
    with np.load(path) as file, torch.no_grad():
        for number, layer in enumerate(layers):
            layer.weight.copy_(torch.from_numpy(file[f"weight{number}"]))
            layer.bias.copy_(torch.from_numpy(file[f"bias{number}"]))
    return network


def _score(environment: EnvironmentConfig, policy: ActorCritic) -> dict[str, float]:
    return {"return": measure_returns(environment, policy, EPISODES)["return"]}


def _show(environment: EnvironmentConfig, expert: Expert, count: int, seed: int) -> Demonstrations:
    envs = open_envs(environment, count)
    return play(envs, expert.act, count, seed, name=environment.id)


def _cloning_curve(
    environment: EnvironmentConfig,
    network: NetworkConfig,
    show: Callable[[int, int], Demonstrations],
    counts: tuple[int, ...],
    seeds: int = SEEDS,
) -> list[dict[str, Any]]:
    envs, rows = open_envs(environment, 1), []
    for count in counts:
        for seed in range(seeds):
            policy = bc.clone(envs, show(count, 1000 * seed + count), network, bc.CloningConfig(), seed)
            rows.append({"demonstrations": count} | _score(environment, policy))
    return rows


def _dagger_curve(
    environment: EnvironmentConfig, network: NetworkConfig, expert: Expert, config: DaggerConfig, seeds: int = SEEDS
) -> list[dict[str, Any]]:
    """A point for each round after the first, which only clones."""
    rows = []
    for seed in range(seeds):
        envs = open_envs(environment, config.episodes)
        shown = 0
        for number, step in enumerate(dagger(envs, expert, network, bc.CloningConfig(), config, seed)):
            if number == 0:
                shown = len(step.data)
                continue
            rows.append(
                {"round": number, "demonstrations": config.episodes, "labels": len(step.data) - shown}
                | _score(environment, step.policy)
            )
    return rows


def _irl_curve(table: Any) -> list[dict[str, Any]]:
    """The optimum of the reward that is linear in the features, from soft-optimal demonstrations."""
    rows = []
    for count in COUNTS:
        for seed in range(SEEDS):
            data = show_softly(count, seed=1000 * seed + count)
            inferred = infer(table, make_form("linear", table), count_visits(table, data), IRL_HORIZON)
            rows.append({"demonstrations": count, "return": identify.greedy_return(table, inferred.reward, 100)})
    return rows


def _rlhf_curve(name: str, answers: tuple[int, ...], steps: int, seeds: int) -> list[dict[str, Any]]:
    rows = []
    for count in answers:
        for seed in range(seeds):
            config = defaults(name)
            feedback = dataclasses.replace(config.feedback, labels=count)
            config = dataclasses.replace(config, steps=steps, seed=seed, feedback=feedback, threads=1)
            with tempfile.TemporaryDirectory() as folder:
                run = Run.create(Path(folder) / "run", config)
                session, close = preference_session(run)
                _finish(session.rounds())
                close()
                rows.append({"answers": count, "return": float(look.measure_returns(run, EPISODES).mean())})
    return rows


def _true_reward(name: str, steps: int) -> tuple[ActorCritic, float, EnvironmentConfig]:
    """The policy that the environment's own reward trains, and its return."""
    config = dataclasses.replace(defaults(name), steps=steps, threads=1)
    with tempfile.TemporaryDirectory() as folder:
        run = Run.create(Path(folder) / "run", config)
        session, close = true_reward_session(run)
        _finish(session.rounds())
        close()
        envs = open_envs(config.environment, 1)
        policy = look.policy_of(run, run.load(), envs).eval()
        return policy, float(look.measure_returns(run, EPISODES).mean()), config.environment


def _finish(rounds: Iterator[Any]) -> None:
    for _ in rounds:
        pass


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "cloning": measure_cloning,
    "lane": measure_lane,
    "forms": measure_forms,
    "delivery": measure_delivery,
    "duel": measure_duel,
    "cartpole": measure_cartpole,
    "peer": measure_peer,
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
        results[name] = PARTS[name]()
        print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)
        FILE.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    costs = {name: getattr(options, f"{name}_seconds") for name in COSTS}
    write_page(results, costs, RESULTS / "baselines.md")
    draw(results, costs, RESULTS / "baselines.svg")


if __name__ == "__main__":
    main()
