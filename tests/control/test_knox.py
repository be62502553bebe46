"""Knox's human data: segments driven by hand, the published numbers, and one clear line for each fault."""

from collections.abc import Callable
from io import BytesIO
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from plaudit.control.environments.delivery import knox_board
from plaudit.control.knox import analyse, load, mismatches, render, replay, report
from plaudit.types import PlauditError

UP, DOWN, LEFT, RIGHT, NONE = (-1, 0), (1, 0), (0, -1), (0, 1), (0, 0)
# On Knox's board (7, 9) and (7, 8) are brick, (6, 8) is blank, and (8, 9), below (7, 9), is the goal.
STRAIGHT = [(7, 9), DOWN, NONE, NONE]  # +50
DETOUR = [(7, 9), LEFT, RIGHT, DOWN]  # -2, -2, +50
WANDERING = [(7, 8), UP, DOWN, RIGHT]  # -1, -2, -2, and the goal one step on
NEXT_TO_IT = [(7, 8), RIGHT, DOWN, NONE]  # -2, +50
PAIRS = [(STRAIGHT, DETOUR), (STRAIGHT, WANDERING), (NEXT_TO_IT, WANDERING), (WANDERING, DETOUR)]
STATISTICS = [(-4, 0, 0), (-55, -2, 50), (-53, 0, 50), (51, 2, -50)]
PREFERRED = [0.0, 0.5, 1.0, 0.0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The four pairs six times over, so that every replicate has something to fit."""
    write(tmp_path, "segment_pairs", np.array(PAIRS * 6))
    write(tmp_path, "Y", np.array(PREFERRED * 6))
    write(tmp_path, "X", np.array(STATISTICS * 6, dtype=float))
    return tmp_path


def write(folder: Path, part: str, array: np.ndarray) -> None:
    np.save(folder / f"Toy_full_filtered_{part}.npy", array)


def read(folder: Path, part: str) -> np.ndarray:
    return np.load(folder / f"Toy_full_filtered_{part}.npy")


def test_segments_driven_by_hand(folder: Path):
    (study,) = load(folder)
    pairs = replay(study, knox_board())
    assert pairs.rewards[0].tolist() == [[50, 0, 0], [-2, -2, 50]]
    assert pairs.rewards[1].tolist() == [[50, 0, 0], [-1, -2, -2]]
    assert pairs.start_values[:4].tolist() == [[50, 50], [50, 48], [48, 48], [48, 50]]
    assert pairs.end_values[:4].tolist() == [[0, 0], [0, 50], [0, 50], [50, 0]]
    assert pairs.mu[:4].tolist() == [1.0, 0.5, 0.0, 1.0]  # of the first; the files say it of the second
    assert mismatches(study, pairs) == 0


def test_a_stored_statistic_that_differs_is_counted(folder: Path):
    stored = read(folder, "X")
    stored[[3, 7], 1] += 1
    write(folder, "X", stored)
    (condition,) = analyse(folder, replicates=2)
    assert condition.mismatches == 2
    assert "2 of 24 rows differ from the stored ones (2 in Toy); ours are used" in render([condition])


def test_what_follows_termination_does_not_count(folder: Path):
    segments = read(folder, "segment_pairs")
    segments[0, 0, 2:] = [(5, 5), LEFT]
    write(folder, "segment_pairs", segments)
    (study,) = load(folder)
    assert mismatches(study, replay(study, knox_board())) == 0


def test_report(folder: Path):
    steps: list[tuple[int, int, str]] = []
    text = report(folder, progress=lambda *step: steps.append(step))
    assert "24 judgements" in text and "all 24 rows agree with the stored ones (0 mismatches)" in text
    assert text.count("| Toy (24, 25%)") == 6  # tables
    for table, lines in groupby(text.splitlines(), key=lambda line: line.startswith("|")):
        assert not table or len({len(line) for line in lines}) == 1
    assert steps[0][:2] == (0, 8) and steps[-1] == (8, 8, "Toy: done")


def test_the_seed_decides(folder: Path):
    def numbers(seed: int) -> list[object]:
        (condition,) = analyse(folder, replicates=3, seed=seed)
        fits = [(each.loss, each.weights, each.replicates.tolist(), each.held_out.tolist()) for each in condition.fits]
        return [fits, [vars(pair) for pair in condition.pairs]]

    assert numbers(1) == numbers(1) != numbers(2)


def test_pairs_of_models_add_up(folder: Path):
    (condition,) = analyse(folder, replicates=8)
    for pair in condition.pairs:
        a, b = (condition.fit(name, pair.lapse_fitted) for name in (pair.first, pair.second))
        assert pair.difference == a.loss - b.loss
        assert pair.interval[0] <= np.median(a.replicates - b.replicates) <= pair.interval[1]
        clear = np.abs(a.held_out - b.held_out) > 1e-9
        assert pair.wins == pytest.approx((a.held_out < b.held_out)[clear].sum() / 8 + (~clear).sum() / 16)


def archive() -> bytes:
    buffer = BytesIO()
    np.savez(buffer, a=np.zeros(1))
    return buffer.getvalue()


def cut(part: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    return lambda folder: write(folder, part, change(read(folder, part)))


def put(index: tuple[int, ...], value: tuple[int, int]) -> Callable[[Path], None]:
    def change(segments: np.ndarray) -> np.ndarray:
        segments[index] = value
        return segments

    return cut("segment_pairs", change)


FAULTS = {
    "missing file": (lambda f: (f / "Toy_full_filtered_Y.npy").unlink(), r"Toy_full_filtered_Y.npy is missing"),
    "pickled": (lambda f: write(f, "Y", np.array([{}], dtype=object)), r"_Y.npy cannot be .*\(Object arrays.*save it"),
    "no array": (lambda f: (f / "Toy_full_filtered_X.npy").write_bytes(b"text"), r"_X.npy cannot be read"),
    "empty file": (lambda f: (f / "Toy_full_filtered_X.npy").write_bytes(b""), r"_X.npy cannot be read"),
    "archive": (lambda f: (f / "Toy_full_filtered_X.npy").write_bytes(archive()), r"_X.npy is an archive"),
    "shape of pairs": (cut("segment_pairs", lambda a: a[:, 0]), r"segment_pairs.npy: expected .*\(24, 4, 2\)"),
    "fractions": (cut("segment_pairs", lambda a: a * 0.5), r"segment_pairs.npy: expected whole numbers.*float64"),
    "no pairs": (cut("segment_pairs", lambda a: a[:0]), r"segment_pairs.npy holds no pairs"),
    "too few answers": (cut("Y", lambda a: a[1:]), r"_Y.npy: expected numbers of shape \(24,\).*fetch the three"),
    "words": (cut("Y", lambda a: a.astype(str)), r"_Y.npy: expected numbers"),
    "shape of X": (cut("X", lambda a: a[:, :2]), r"_X.npy: expected numbers of shape \(24, 3\)"),
    "an answer of 0.7": (cut("Y", lambda a: np.where(a == 1, 0.7, a)), r"_Y.npy: row 2 is 0.7: a preference is 0"),
    "an answer of nan": (cut("Y", lambda a: np.where(a == 1, np.nan, a)), r"_Y.npy: row 2 is nan"),
    "off the board": (put((5, 1, 0), (10, 3)), r"pair 5, segment 2 starts outside of the board.*\(10, 3\): .*fetch"),
    "on a house": (put((0, 0, 0), (3, 4)), r"pair 0, segment 1 starts on a house, a sheep or the goal"),
    "on the goal": (put((0, 0, 0), (8, 9)), r"pair 0, segment 1 starts on a house, a sheep or the goal"),
    "a diagonal": (put((0, 1, 1), (1, 1)), r"pair 0, segment 2 jumps in step 1, at \(1, 1\)"),
    "a rest": (put((0, 1, 1), (0, 0)), r"pair 0, segment 2 stands still in step 1"),
}


@pytest.mark.parametrize(("spoil", "message"), FAULTS.values(), ids=FAULTS.keys())
def test_bad_input_is_one_clear_line(folder: Path, spoil: Callable[[Path], None], message: str):
    spoil(folder)
    with pytest.raises(PlauditError, match=message) as caught:
        analyse(folder, replicates=2)
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)


def test_a_folder_without_preferences(tmp_path: Path):
    for folder, message in ((tmp_path / "nowhere", "no folder"), (tmp_path, "holds no human preferences")):
        with pytest.raises(PlauditError, match=f"{message}.*give the folder that holds"):
            report(folder)


LOSSES = {  # partial return, end value, regret, free weights; then with a lapse rate
    "Privileged-Control": (0.6195, 0.5652, 0.5727, 0.5470, 0.6188, 0.5652, 0.5727, 0.5470),
    "Pr-Privileged": (0.5045, 0.4964, 0.5249, 0.4731, 0.4527, 0.4964, 0.5249, 0.4331),
    "Regret-Privileged": (0.5461, 0.4462, 0.4399, 0.3936, 0.5391, 0.4462, 0.4399, 0.3936),
    "Trained-Control": (0.5251, 0.4340, 0.4340, 0.4319, 0.5251, 0.4340, 0.4340, 0.4319),
}
JUDGEMENTS = {"Privileged-Control": 1793, "Pr-Privileged": 2532, "Regret-Privileged": 2531, "Trained-Control": 473}


def test_human_data(shared_data: Path):
    """The losses within 0.001 nats, and every stored statistic derived again from its segments."""
    folder = shared_data / "knox"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    conditions = {condition.name: condition for condition in analyse(folder, replicates=1)}
    assert {name: condition.judgements for name, condition in conditions.items()} == JUDGEMENTS
    assert sum(condition.mismatches for condition in conditions.values()) == 0
    for name, losses in LOSSES.items():
        assert [fit.loss for fit in conditions[name].fits] == pytest.approx(losses, abs=0.001), name
    assert conditions["Pr-Privileged"].fit("partial return", lapse=True).lapse == pytest.approx(0.059, abs=0.001)
