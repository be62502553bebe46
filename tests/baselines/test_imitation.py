"""Behaviour cloning and DAgger: losses by hand, data, and how errors compound."""

from dataclasses import replace
from math import log, pi
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from gymnasium import spaces

import plaudit
from plaudit.baselines import bc, lane
from plaudit.baselines.dagger import Actor, DaggerConfig, dagger
from plaudit.baselines.demonstrations import Demonstrations, join, play
from plaudit.baselines.experts import OptimalExpert, exact_expert
from plaudit.baselines.folder import Imitation
from plaudit.cli import main
from plaudit.control.networks import ActorCritic, NetworkConfig
from plaudit.control.table_envs import TableEnvs
from plaudit.functional.objective import imitation_loss
from plaudit.policy.steps import Steps
from plaudit.run.record import kind_of
from plaudit.types import PlauditError

BOX = spaces.Box(-1.0, 1.0, (3,), np.float32)


def episode(*actions: int, environment: str = "") -> Demonstrations:
    """One episode in the lane, in which the agent is always in the middle."""
    count = len(actions)
    observations = np.repeat(lane.lane(0.0).observations[lane.HALF][None], count, axis=0)
    return Demonstrations(observations, np.array(actions), np.arange(count) == count - 1, environment, (0.0,))


def test_the_loss_by_hand() -> None:
    """Categorical with odds 3 : 1, and a Gaussian half a standard deviation off."""
    policy = ActorCritic(BOX, spaces.Discrete(2), NetworkConfig())
    with torch.no_grad():
        policy.head.weight.zero_()
        policy.head.bias.copy_(torch.tensor([log(3.0), 0.0, 7.0]))
    steps = Steps(torch.zeros(2, 3), torch.tensor([0, 1]))
    loss = imitation_loss(policy.evaluate(steps)[0])
    assert loss.tolist() == pytest.approx([log(4 / 3), log(4)])
    numbers = ActorCritic(BOX, BOX, NetworkConfig(log_std=0.0))
    with torch.no_grad():
        numbers.head.weight.zero_()
    steps = Steps(torch.zeros(1, 3), torch.tensor([[0.5, 0.0, 0.0]]))
    assert imitation_loss(numbers.evaluate(steps)[0]).item() == pytest.approx(0.125 + 1.5 * log(2 * pi))


def test_cloning_fits_what_it_sees_and_leaves_what_never_varied_unscaled() -> None:
    envs = TableEnvs(lane.lane(0.0), 1, 4)
    data = join([episode(1, 1, 1, 1), episode(1, 1, 1, 0)])
    config = bc.CloningConfig(learning_rate=1e-2, steps=150)
    policy = bc.clone(envs, data, NetworkConfig(), config, seed=0)
    assert policy.scale.tolist() == [1.0] * 21  # every number of the observation is constant here
    likelihood = bc.measure(envs, policy, data)
    assert likelihood.accuracy == 7 / 8  # one observation, two answers: the likelihood is at its best, 7/8
    assert likelihood.loss == pytest.approx(-(7 / 8) * log(7 / 8) - log(1 / 8) / 8, abs=0.01)
    with pytest.raises(PlauditError, match=r"an action that is not in Discrete\(3\)"):
        bc.clone(envs, episode(1, 3), NetworkConfig(), config, seed=0)
    wide = TableEnvs(replace(lane.lane(0.0), observations=np.zeros((21, 2), np.float32)), 1, 4)
    with pytest.raises(PlauditError, match=r"observations \(21,\).*name the environment that they were made in"):
        bc.clone(wide, data, NetworkConfig(), config, seed=0)
    with pytest.raises(PlauditError, match="a learning rate in"):
        bc.CloningConfig(learning_rate=2.0)


def test_episodes_are_played_one_by_one_and_labelled_by_another() -> None:
    """The actor goes right into the wall; the labels steer back; rows begin anew when their episode is over."""
    table = lane.lane(0.0)
    envs = TableEnvs(table, 2, 3)
    right = lambda observations, step: np.full(len(observations), 2)  # noqa: E731
    expert = OptimalExpert(lane.lane(lane.SLIP))
    data = play(envs, right, 3, seed=0, label=expert.act, name="Lane")
    assert (data.episodes, len(data), data.environment) == (3, 9, "Lane")
    assert data.ends.tolist() == [False, False, True] * 3 and data.times.tolist() == [0, 1, 2] * 3
    assert data.starts.tolist() == [0, 3, 6] and data.returns == (
        -2.0,
        -2.0,
        -2.0,
    )  # the cost is that of the cell it stands in
    assert data.observations.argmax(axis=1).tolist() == [10, 11, 12] * 3
    assert data.actions.tolist() == [1, 0, 0] * 3
    assert data.select(slice(1, 3)).episodes == 2
    with pytest.raises(PlauditError, match="none of them was chosen"):
        data.select(slice(5, 6))
    with pytest.raises(PlauditError, match="must be at least 1, got 0"):
        play(envs, right, 0, seed=0)


@pytest.mark.learning
def test_errors_compound_in_a_clone_and_not_with_dagger() -> None:
    """Ross and Bagnell 2010: epsilon T^2 against epsilon T; slopes of the exact cost from 8 to 32 steps."""
    costs = lane.compare_cloning(1)
    assert costs["expert"].cost[0] == pytest.approx(3 * lane.SLIP, rel=0.02)  # off the middle one step in a hundred
    assert costs["bc"].slope >= 1.9 and costs["dagger"].slope <= 1.2
    assert costs["bc"].cost[-1] > 20 * costs["dagger"].cost[-1]


def test_dagger_labels_its_own_states_and_gathers_all_of_them() -> None:
    envs = TableEnvs(lane.lane(0.3), 4, 10)
    expert = OptimalExpert(lane.lane(0.3))
    config = DaggerConfig(rounds=2, episodes=4)
    first, last = dagger(envs, expert, lane.NETWORK, bc.CloningConfig(steps=5), config, seed=0)
    assert (first.number, len(first.data), first.agreement) == (0, 40, None)
    assert (last.number, len(last.data), last.data.episodes) == (1, 80, 8)
    states = last.data.observations.argmax(axis=1)
    assert (last.data.actions == expert.actions[states]).all()  # whoever played, the expert labelled
    assert last.agreement == pytest.approx(Actor(first.policy, 0).agreement(last.data.select(slice(4, 8))))
    with pytest.raises(PlauditError, match="rounds and episodes from 1"):
        DaggerConfig(rounds=0)


def test_files_hold_arrays_and_nothing_else(tmp_path: Path) -> None:
    data = join([episode(1, 2, environment="Lane"), episode(0)])
    data.save(tmp_path / "new" / "two.npz")
    again = Demonstrations.load(tmp_path / "new" / "two.npz")
    assert (again.environment, again.returns, again.episodes) == ("Lane", (0.0, 0.0), 2)
    for name in ("observations", "actions", "ends"):
        np.testing.assert_array_equal(getattr(again, name), getattr(data, name))
    np.savez(tmp_path / "pickle.npz", observations=np.array([{}], dtype=object), about="{}")
    (tmp_path / "text.npz").write_text("no archive")
    for name in ("pickle.npz", "text.npz"):
        with pytest.raises(PlauditError, match=rf"{name} holds no demonstrations.*plaudit baseline demonstrate"):
            Demonstrations.load(tmp_path / name)
    with pytest.raises(PlauditError, match=r"cannot access .*none.npz"):
        Demonstrations.load(tmp_path / "none.npz")
    with pytest.raises(PlauditError, match="must end an episode"):
        Demonstrations(np.zeros((1, 2)), np.zeros(1), np.zeros(1, bool))
    with pytest.raises(PlauditError, match="observations of demonstrations must be finite"):
        Demonstrations(np.full((1, 2), np.nan), np.zeros(1), np.ones(1, bool))


def test_minari(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "main_data.hdf5", "w") as file:
        for number, steps in enumerate((2, 3)):
            group = file.create_group(f"episode_{number}")
            group["observations"] = np.full((steps + 1, 4), number, np.float32)
            group["actions"] = np.arange(steps) % 2
    for path in (tmp_path, tmp_path / "main_data.hdf5"):
        data = Demonstrations.load(path)
        assert data.ends.tolist() == [False, True, False, False, True] and data.actions.tolist() == [0, 1, 0, 1, 0]
        assert data.observations[:, 0].tolist() == [0, 0, 1, 1, 1] and data.environment == ""
    with pytest.raises(PlauditError, match="do not name their environment: name it"):
        plaudit.clone(tmp_path)
    (tmp_path / "rows.jsonl").write_text('{"a": 1}\n')
    (tmp_path / "main_data.hdf5").unlink()
    with pytest.raises(PlauditError, match="is no episode, as Minari writes them"):
        Demonstrations.load(tmp_path)


@pytest.mark.learning
def test_a_clone_of_thirty_demonstrations_delivers(tmp_path: Path) -> None:
    """Fixed seeds; a random policy has a return of about -90, the expert 41.5."""
    data = plaudit.demonstrate("Delivery", episodes=40, seed=3, out=tmp_path / "demo.npz")
    assert 38 < np.mean(data.returns) < 45 and Demonstrations.load(tmp_path / "demo.npz").environment.endswith(
        "Delivery-v0"
    )
    folder = plaudit.clone(
        data, out=tmp_path / "bc", held_out=0.25, episodes=64, progress=False, fit={"steps": 200}, seed=1
    )
    result = folder.result()
    assert (result["demonstrations"], result["held_in"]["accuracy"]) == (30, 1.0)
    assert result["held_out"]["accuracy"] > 0.85 and result["return"] > 15
    assert isinstance(folder, Imitation) and kind_of(folder.folder) == "imitation"
    policy = plaudit.load_policy(tmp_path / "bc", seed=0)
    actions, _ = policy.predict(data.observations[:5], deterministic=True)
    np.testing.assert_array_equal(actions, data.actions[:5])


def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small = ["--env", "Delivery", "--episodes", "6"]
    assert main(["baseline", "demonstrate", *small, "--expert", "soft", "--out", "soft.npz"]) == 0
    assert "soft.npz: 6 episodes" in capsys.readouterr().out
    assert (
        main(["baseline", "dagger", *small, "--dagger.rounds", "2", "--dagger.episodes", "2", "--fit.steps", "9"]) == 0
    )
    output = capsys.readouterr()
    assert "over 6 episodes; the demonstrators had" in output.out and "agreement with the expert" in output.out
    folder = Path("runs/Delivery-dagger")
    assert len(Imitation.open(folder).metrics()) == 2 and (folder / "demonstrations.npz").exists()
    assert main(["watch", str(folder), "--steps", "3"]) == 0 and (folder / "clips" / "last.webm").exists()
    # the policy of a folder is an expert, too
    assert main(["baseline", "demonstrate", *small, "--expert", str(folder), "--out", "own.npz"]) == 0
    options = ["--demonstrations", "own.npz", "--episodes", "4", "--fit.steps", "9", "--out", "bc"]
    assert main(["baseline", "bc", *options]) == 0
    options = ["--demonstrations", "soft.npz", "--fit.steps", "3", "--potentials", "2", "--out", "irl"]
    capsys.readouterr()
    assert main(["baseline", "irl", *options]) == 0
    output = capsys.readouterr()
    assert "gas" in output.out and "2 of 2 shaped rewards have the true reward's optimal actions" in output.out
    with np.load("irl/reward.npz") as file:
        assert file["reward"].shape == (100, 4) and file["weights"].shape == (6,)
    for words, message in (
        (["bcc"], "no baseline 'bcc': did you mean bc?"),
        (["demonstrate", "--env", "Duel", "--out", "no.npz"], "needs an environment whose states can be counted"),
        (["demonstrate", "--env", "Rally", "--out", "no.npz", "--expert", "bc"], "trained in plaudit/Delivery-v0"),
        (["demonstrate", *small, "--out", "no.npz", "--expert", "magic"], "or the folder of a run, got 'magic'"),
        (["irl", "--demonstrations", "own.npz", "--env", "CartPole-v1"], "states of CartPole-v1 cannot be counted"),
        (["irl", "--demonstrations", "soft.npz", "--horizon", "1"], "and the horizon is 1: set --horizon"),
        (["bc", "--demonstrations", "own.npz", "--held-out", "2"], "share of the episodes in [0, 1), got 2.0"),
    ):
        assert main(["baseline", *words]) == 2 and message in capsys.readouterr().err
    for words in (["resume", "bc"], ["report", "bc"]):
        assert main(words) == 2 and "imitat" in capsys.readouterr().err


def test_experts_need_a_table() -> None:
    envs = TableEnvs(lane.lane(0.0), 2, 5)
    assert exact_expert("soft", envs, 5, 0).act(envs.reset(seed=0)[0], 7).shape == (2,)
