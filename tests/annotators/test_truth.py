"""The ledger: what it holds, what it writes down, and what a crash leaves."""

from __future__ import annotations

import json

import numpy as np
import pytest

from plaudit.annotators.truth import Ledger
from plaudit.types import PlauditError, Segment, Source, TrueReward


def segment(rollout: int = 0, row: int = 0, start: int = 0, length: int = 3, content: float = 0.0) -> Segment:
    observations = np.full((length, 2), content, dtype=np.float32)
    observations[0] = (row, start)
    return Segment(observations, np.zeros(length, dtype=np.int64), source=Source(rollout, row, start))


def record(rollout: int = 0, rows: int = 2, steps: int = 6) -> TrueReward:
    rewards = np.arange(rows * steps, dtype=np.float32).reshape(rows, steps) + 0.1 + 100 * rollout
    return TrueReward(rollout, rewards)


def test_rewards_by_provenance():
    ledger = Ledger()
    first = record(0)
    ledger.add(first)
    ledger.add(record(1))
    assert ledger.rewards(0) is first.rewards  # a reference: nothing is copied while collecting
    np.testing.assert_array_equal(ledger.rewards_of(segment(1, row=1, start=2)), record(1).rewards[1, 2:5])


def test_the_ring_forgets_the_oldest():
    ledger = Ledger(size=2)
    for rollout in range(3):
        ledger.add(record(rollout))
    with pytest.raises(PlauditError, match=r"rollout 0 is not in the ledger \(it holds 1 to 2\).*size 2"):
        ledger.rewards_of(segment(0))
    with pytest.raises(PlauditError, match="rollout 0 is not in"):
        ledger.rewards(0)
    ledger.add(record(2))  # the same rollout again, as after a resume, pushes nothing out
    assert ledger.rewards(1).shape == (2, 6)


def test_what_was_kept_outlives_the_ring_and_the_process(tmp_path):
    path = tmp_path / "truth.jsonl"
    ledger = Ledger(path, size=1)
    ledger.add(record(0))
    asked = segment(0, row=1, start=1)
    ledger.keep([asked], round=4)
    ledger.add(record(1))
    expected = record(0).rewards[1, 1:4]
    other = Ledger(path)  # another process: no ring at all
    for reader in (ledger, other):
        got = reader.rewards_of(asked)
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got, expected)  # float32 survives JSON exactly
        assert reader.reward_per_step(4) == pytest.approx(float(record(0).rewards.mean()))
    anonymous = Segment(asked.observations, asked.actions)  # as a store may give it back
    np.testing.assert_array_equal(other.rewards_of(anonymous), expected)


def test_a_reader_sees_what_is_written_later(tmp_path):
    path = tmp_path / "truth.jsonl"
    writer, reader = Ledger(path), Ledger(path)
    writer.add(record(0))
    with pytest.raises(PlauditError, match="not written down"):
        reader.rewards_of(segment(0))
    writer.keep([segment(0)])
    assert reader.rewards_of(segment(0)).tolist() == record(0).rewards[0, :3].tolist()


def test_duplicates_are_harmless_and_the_first_stands(tmp_path):
    path = tmp_path / "truth.jsonl"
    scale = [0.5]
    ledger = Ledger(path, reward_per_step=lambda: scale[0])
    ledger.add(record(0))
    ledger.keep([segment(0), segment(0)], round=1)
    scale[0] = 9.0
    ledger.keep([segment(0)], round=1)
    assert len(path.read_text().splitlines()) == 2
    path.write_text(path.read_text() + json.dumps({"segment": segment(0).id, "rewards": [7, 7, 7]}) + "\n")
    again = Ledger(path)
    assert again.rewards_of(segment(0)).tolist() == record(0).rewards[0, :3].tolist()
    assert again.reward_per_step(1) == 0.5


@pytest.mark.parametrize("lost", range(1, 40))
def test_a_torn_last_line_is_repaired(tmp_path, lost):
    path = tmp_path / "truth.jsonl"
    ledger = Ledger(path)
    ledger.add(record(0))
    ledger.keep([segment(0, start=0)], round=0)
    whole = path.read_bytes()
    ledger.keep([segment(0, start=1)], round=0)
    full = path.read_bytes()
    path.write_bytes(full[:-lost])
    assert len(full) - len(whole) > lost, "only the last line is torn"
    again = Ledger(path)
    again.add(record(0))
    assert again.rewards_of(segment(0, start=0)).tolist() == record(0).rewards[0, :3].tolist()
    again.keep([segment(0, start=1)], round=0)
    assert path.read_bytes() == full
    again.keep([segment(0, start=2)], round=0)
    assert Ledger(path).rewards_of(segment(0, start=2)).tolist() == record(0).rewards[0, 2:5].tolist()


def test_a_corrupt_file_is_named_with_its_line(tmp_path):
    path = tmp_path / "truth.jsonl"
    path.write_text('{"round": 0, "reward_per_step": null}\nrubbish\n')
    with pytest.raises(PlauditError, match=r"truth.jsonl, line 2: not a record of true rewards"):
        Ledger(path).reward_per_step(0)


def test_a_full_disk_is_one_clear_line_and_loses_nothing(tmp_path, monkeypatch):
    path = tmp_path / "truth.jsonl"
    ledger = Ledger(path)
    ledger.add(record(0))
    ledger.keep([segment(0, start=0)])
    before = path.read_bytes()

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(PlauditError, match=r"cannot write .*truth.jsonl.*No space left.*resume"):
            ledger.keep([segment(0, start=1)])
    assert path.read_bytes() == before
    ledger.keep([segment(0, start=1)])
    assert Ledger(path).rewards_of(segment(0, start=1)).tolist() == record(0).rewards[0, 1:4].tolist()


def test_wrong_provenance_and_wrong_rewards_are_refused():
    ledger = Ledger()
    ledger.add(record(0))
    with pytest.raises(PlauditError, match="do not belong together"):
        ledger.rewards_of(segment(0, start=5))
    with pytest.raises(PlauditError, match="do not belong together"):
        ledger.rewards_of(segment(0, row=2))
    with pytest.raises(PlauditError, match="has no source"):
        ledger.rewards_of(Segment(np.zeros((2, 1)), np.zeros(2)))
    with pytest.raises(PlauditError, match="at least one rollout"):
        Ledger(size=0)


def test_rewards_that_are_not_numbers_are_refused(tmp_path):
    ledger = Ledger(tmp_path / "truth.jsonl", reward_per_step=lambda: 1.0)
    ledger.add(TrueReward(0, np.full((1, 4), np.nan, dtype=np.float32)))
    with pytest.raises(PlauditError, match="not a finite number"):
        ledger.keep([segment(0)])
    assert not (tmp_path / "truth.jsonl").exists()


def test_the_ring_comes_back_from_a_checkpoint():
    ledger = Ledger(size=2)
    for rollout in (9, 10):
        ledger.add(record(rollout))
    again = Ledger(size=2)
    again.restore(dict(sorted(ledger.state().items())))  # "10" before "9", as a file may order names
    again.add(record(11))
    assert again.rewards(10).shape == (2, 6)
    with pytest.raises(PlauditError, match="rollout 9"):
        again.rewards(9)


def test_no_scale_before_the_first_rollout():
    ledger = Ledger()
    ledger.keep([], round=0)
    assert ledger.reward_per_step(0) is None
