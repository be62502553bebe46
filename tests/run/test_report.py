from __future__ import annotations

import base64
import dataclasses
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from plaudit.control.clips import encode_clip
from plaudit.functional.calibration import wilson
from plaudit.run.report import control_plots, plots
from plaudit.run.report.calibration import Calibration, reliability
from plaudit.run.report.control import control_report
from plaudit.run.report.control_data import ControlResults, HeatMaps, Scatter, Summary
from plaudit.run.report.page import render, write_report
from plaudit.run.report.sections import Clip, Report, groups
from plaudit.run.report.text import headline, sparkline
from plaudit.run.report.values import column
from plaudit.run.report.words import duration, number, percent
from plaudit.types import PlauditError

VOID = {"meta", "link", "br", "img", "input", "hr"}
SECTIONS = ["clips", "return", "reward-model", "learned-reward", "settings", "reproduce"]
HOSTILE = "</script><script>alert(1)</script>\"'&<b onload=x>${{7*7}}{% raw %} \x1b[31m"


class Page(HTMLParser):
    """A strict reader: every element must be closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in {"style", "script"}:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def metrics(count: int = 30) -> list[dict[str, object]]:
    return [
        {
            "step": 1000 * (index + 1),
            "round": index,
            "seconds": 2.0 * index,
            "labels": 10 * (index // 3),
            "true_return": -1 + index / count,
            "predicted_return": float(index),
            "reward_loss": 0.6,
            "holdout_loss": 0.65 if index > 4 else None,
            "holdout_accuracy": 0.7 if index > 4 else float("nan"),
        }
        for index in range(count)
    ]


def clip(kind: str, count: int = 20) -> Clip:
    frames = np.random.default_rng(0).integers(0, 255, (count, 12, 16, 3), dtype=np.uint8)
    video = encode_clip(frames, side=64)
    return Clip(f"how it went {kind}", video.webm, video.poster, "after" if kind == "after" else "before")


@pytest.fixture(scope="module")
def data() -> ControlResults:
    rng = np.random.default_rng(0)
    predicted = rng.uniform(size=60)
    true = np.sign(rng.normal(size=(8, 10)))
    true[0, 0] = np.nan
    return ControlResults(
        title="Duel from 300 comparisons",
        environment="plaudit/Duel-v0",
        command="plaudit train plaudit/Duel-v0 --labels 300 --seed 0",
        settings={"seed": 0, "policy": {"hidden": (64, 64), "clip": None, "fit": {"epochs": 5}}},
        versions={"plaudit": "0.1.0", "torch": "2.13.0"},
        metrics=metrics(),
        baseline=metrics(),
        calibration=Calibration(predicted, (rng.uniform(size=60) < predicted).astype(float)),
        heat_maps=HeatMaps(true * 2 + 1, true, "ball", "paddle", "The ball moves down."),
        scatter=Scatter(rng.normal(size=3000), rng.integers(-1, 2, 3000).astype(float)),
        clips=[clip("after"), clip("before")],
        summary=Summary(0.93, (0.9, 0.96), 0.97, 0.93 / 0.97, 300, 2_457_600, 161.3),
    )


@pytest.fixture(scope="module")
def report(data: ControlResults) -> Report:
    return control_report(data)


@pytest.fixture(scope="module")
def html(report: Report) -> str:
    return render(report)


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_every_section_stands_and_says_what_the_data_say(page: Page) -> None:
    assert [element["id"] for element in page.of("section")] == SECTIONS
    assert len(page.of("svg")) == 7
    for words in (
        "From 300 comparisons, the policy reached 96 % of the true-reward baseline's return, in 2 min 41 s.",
        "95 % interval 0.90 to 0.96",
        "2,457,600 steps",
        "plaudit train plaudit/Duel-v0 --labels 300 --seed 0",
        "Correlation with it: 1.",
        "The ball moves down.",
        "fit.epochs",
        "torch 2.13.0",
    ):
        assert words in page.text


def test_the_page_asks_for_nothing(html: str) -> None:
    text = html
    assert re.search(r"(?:https?:)?//[\w-]+\.", text) is None
    for tag, attributes in Page(text).elements:
        for name in ("src", "href", "poster", "data", "action", "srcset"):
            link = attributes.get(name)
            assert link is None or link.startswith(("data:", "#")), f"<{tag} {name}={link[:40]}>"
    assert "@import" not in text and re.search(r"url\((?!#)", text) is None
    policies = [element["content"] for element in Page(text).of("meta") if "http-equiv" in element]
    assert policies and policies[0] is not None and policies[0].startswith("default-src 'none'")


def test_ids_are_unique_and_every_reference_resolves(page: Page, html: str) -> None:
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    references = set(re.findall(r"url\(#([\w-]+)\)", html))
    references |= {str(element["href"])[1:] for element in page.of("use")}
    assert references and references <= set(ids)


def test_plots_follow_the_theme(html: str) -> None:
    text = html
    figures = "".join(re.findall(r"<svg.*?</svg>", text, re.DOTALL))
    assert re.search(r"(?:fill|stroke): #", figures) is None  # no colour that light or dark could not change
    used = set(re.findall(r"var\((--\w+)\)", text))
    style = text[text.index("<style>") : text.index("</style>")]
    light, dark = style.split("@media screen and (prefers-color-scheme: dark)")[:2]
    assert used >= {"--ink", "--muted", "--grid", "--preference", "--baseline", "--predicted"}
    for name in used:
        assert f"{name}:" in light and f"{name}:" in dark


def test_clips_are_paired_and_play_inside_the_page(page: Page) -> None:
    videos = page.of("video")
    assert [video["aria-label"] for video in videos] == ["how it went before", "how it went after"]
    for video in videos:
        assert {"controls", "muted", "loop", "playsinline"} <= set(video)
        assert str(video["src"]).startswith("data:video/webm;base64,")
        assert str(video["poster"]).startswith("data:image/png;base64,")


def test_hostile_strings_are_shown_and_not_run(data: ControlResults) -> None:
    maps = HeatMaps(np.eye(3), np.eye(3), HOSTILE, HOSTILE, HOSTILE)
    hostile = dataclasses.replace(
        data,
        title=HOSTILE,
        environment=HOSTILE,
        command=HOSTILE,
        settings={HOSTILE: HOSTILE, "group": {HOSTILE: [HOSTILE, None]}},
        versions={HOSTILE: HOSTILE},
        heat_maps=maps,
        clips=[Clip(HOSTILE, b"", b"", "after")],
    )
    report = control_report(hostile)
    page = Page(render(report))
    assert len(page.of("script")) == 1 and page.of("b") == []
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert page.text.count("alert(1)") >= 11
    assert "${{7*7}}{% raw %}" in page.text
    assert "\x1b" not in headline(report)


def test_a_run_that_has_just_begun_says_so() -> None:
    fresh = ControlResults("Fresh", "CartPole-v1", "plaudit train CartPole-v1", {}, {}, [])
    report = control_report(fresh)
    text = Page(render(report)).text
    for words in (
        "There are no held-out comparisons yet.",
        "No return was measured yet.",
        "The reward model has not been fitted yet.",
        "There is no learned reward to show yet.",
        "No clips were recorded.",
        "The final policy has not been evaluated yet.",
    ):
        assert words in text
    assert "Final true return  –" in headline(report)  # noqa: RUF001


def test_missing_numbers_are_dashes_and_never_nan(data: ControlResults) -> None:
    nan = float("nan")
    nothing = np.full((3, 3), nan)
    broken = dataclasses.replace(
        data,
        metrics=[{"step": 10, "true_return": nan}, {"step": None, "labels": 5}, {"step": "?", "true_return": 1.0}],
        baseline=[{"step": 10, "true_return": None}],
        calibration=Calibration(np.array([nan, nan]), np.array([0.0, 1.0])),
        heat_maps=HeatMaps(nothing, nothing, "x", "y"),
        scatter=Scatter(np.array([nan]), np.array([1.0])),
        summary=Summary(nan, (nan, nan), float("inf"), nan, None, 0, 0),
    )
    report = control_report(broken)
    text = Page(render(report)).text + headline(report)
    assert re.search(r"\b(nan|none|inf)\b", text.replace("clip none", ""), re.IGNORECASE) is None
    assert "There are no held-out comparisons yet." in text


@pytest.mark.parametrize("points", [1, 2, 500])
def test_curves_of_any_length_are_drawn(points: int) -> None:
    records = metrics(points)
    assert control_plots.returns(records, None, "step") is not None
    assert control_plots.returns(records, records, "labels") is not None
    assert control_plots.accuracy(records) is not None


def test_constant_rewards_are_drawn() -> None:
    flat = np.ones((4, 5))
    drawn = ControlResults("t", "e", "c", {}, {}, [], heat_maps=HeatMaps(flat, flat * 0, "x", "y"))
    assert f"Correlation with it: {number(None)}." in Page(render(control_report(drawn))).text
    assert control_plots.scatter(Scatter(np.zeros(7), np.zeros(7))) is not None


def test_the_same_data_make_the_same_page(data: ControlResults, html: str) -> None:
    assert render(control_report(data)) == html


def test_the_page_is_written_whole_and_small(data: ControlResults, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    write_report(control_report(dataclasses.replace(data, title="odd name \udcff")), path)
    assert path.read_bytes().decode("utf-8").rstrip().endswith("</html>")
    assert path.stat().st_size < 1_000_000  # seven plots and two short clips
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_a_long_run_with_real_clips_stays_under_three_megabytes(data: ControlResults) -> None:
    frames = np.zeros((450, 36, 48, 3), np.uint8)
    for index in range(450):
        frames[index, index % 32 : index % 32 + 4, index % 44 : index % 44 + 4] = 255
    video = encode_clip(frames, fps=30, side=480)
    clips = [Clip("c", video.webm, video.poster, kind) for kind in ("before", "after")] * 2
    assert (
        len(
            render(
                control_report(dataclasses.replace(data, metrics=metrics(5000), baseline=metrics(5000), clips=clips))
            )
        )
        < 3e6
    )


@pytest.mark.usefixtures("blank_figures_here")
def test_a_folder_that_is_not_there_is_one_clear_line(data: ControlResults, tmp_path: Path) -> None:
    with pytest.raises(PlauditError, match=r"cannot write .*report.html: No such file"):
        write_report(control_report(dataclasses.replace(data, clips=())), tmp_path / "gone" / "report.html")


def test_reliability_by_hand() -> None:
    # Turned so that the favourite leads: 0.95 -> 1, 0.95 -> 1, 0.55 -> 0, 0.55 -> tie.
    diagram = reliability(Calibration(np.array([0.95, 0.05, 0.55, 0.45]), np.array([1.0, 0.0, 0.0, 0.5])))
    assert diagram is not None
    assert diagram.counts.tolist() == [2, 0, 0, 0, 2]
    assert diagram.confidence[[0, 4]] == pytest.approx([0.55, 0.95])
    assert diagram.agreement[[0, 4]] == pytest.approx([0.25, 1.0])
    assert diagram.accuracy == pytest.approx(2 / 3)  # the tie does not count
    assert diagram.error == pytest.approx((0.30 * 2 + 0.05 * 2) / 4)
    losses = [-np.log(0.95), -np.log(0.95), -np.log(0.45), -0.5 * (np.log(0.55) + np.log(0.45))]
    assert diagram.log_loss == pytest.approx(np.mean(losses))


def test_reliability_does_not_depend_on_which_item_stands_first() -> None:
    rng = np.random.default_rng(3)
    predicted, targets = rng.uniform(size=40), rng.choice([0.0, 0.5, 1.0], 40)
    swap = rng.uniform(size=40) < 0.5
    one = reliability(Calibration(predicted, targets))
    two = reliability(Calibration(np.where(swap, 1 - predicted, predicted), np.where(swap, 1 - targets, targets)))
    assert one is not None and two is not None
    for name in ("counts", "confidence", "agreement", "low", "high", "accuracy", "log_loss", "error"):
        np.testing.assert_allclose(getattr(one, name), getattr(two, name))


def test_a_model_that_knows_nothing_loses_ln_2() -> None:
    diagram = reliability(Calibration(np.full(6, 0.5), np.array([1.0, 0.0, 1.0, 1.0, 0.0, 0.5])))
    assert diagram is not None
    assert diagram.log_loss == pytest.approx(np.log(2)) and diagram.accuracy == 0.5


def test_wilson_interval_against_the_published_form() -> None:
    low, high = wilson(np.array([0.9, 1.0, 0.0]), np.array([10, 10, 0]))
    # 9 of 10: (0.596, 0.982), as in Brown, Cai and DasGupta 2001's form of the interval.
    assert (low[0], high[0]) == pytest.approx((0.5958, 0.9821), abs=1e-4)
    assert high[1] == pytest.approx(1.0) and np.isnan(low[2])


def test_aligning_keeps_the_pattern_and_takes_mean_and_spread() -> None:
    true = np.array([[0.0, 1.0], [-1.0, 4.0]])
    np.testing.assert_allclose(control_plots.align(true * 0.3 - 7, true), true, atol=1e-12)
    np.testing.assert_allclose(control_plots.align(np.full((2, 2), 5.0), true), true.mean())
    assert control_plots.correlation(true * 0.3 - 7, true) == pytest.approx(1)
    assert np.isnan(control_plots.correlation(np.ones(3), np.arange(3)))


def test_smoothing_keeps_constants_lines_and_length() -> None:
    line = np.arange(100.0)
    np.testing.assert_allclose(plots.smooth(np.full(100, 3.0)), 3.0)
    np.testing.assert_allclose(plots.smooth(line)[5:-5], line[5:-5])
    np.testing.assert_allclose(plots.smooth(line[:10]), line[:10])  # short curves are left alone


def test_a_heat_map_is_one_picture_element_per_cell() -> None:
    svg = control_plots.heat_map(np.array([[1.0, 0.0, -1.0], [np.nan, 0.5, 3.0]]), 1.0, "x", "y", "true")
    assert svg is not None
    pictures = [element for tag, element in Page(str(svg)).elements if tag == "image"]
    sizes = [(element["width"], element["height"]) for element in pictures]
    assert ("3", "2") in sizes
    encoded = str(pictures[sizes.index(("3", "2"))]["href"]).partition("base64,")[2]
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGBA"))
    assert image[0, 1, 3] == 0  # nothing paid: the page shows through
    assert image[0, 0].tolist() == [*control_plots.POSITIVE, 255] and image[0, 2].tolist() == [
        *control_plots.NEGATIVE,
        255,
    ]
    assert image[1, 2].tolist() == image[0, 0].tolist()  # beyond the scale is its end


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "0"),
        (300, "300"),
        (2_457_600, "2,457,600"),
        (-21.04, "\u221221.0"),
        (0.9349, "0.93"),
        (0.00012, "0.0001"),
        (1234.5, "1,234"),
        (None, "–"),  # noqa: RUF001
        (float("nan"), "–"),  # noqa: RUF001
    ],
)
def test_numbers_as_words(value: float | int | None, words: str) -> None:
    assert number(value) == words


def test_durations_and_shares_as_words() -> None:
    seconds = (4.25, 48.2, 161.3, 3599.7, 3942)
    assert [duration(value) for value in seconds] == [
        "4.25\u00a0s",
        "48\u00a0s",
        "2\u00a0min 41\u00a0s",
        "1\u00a0h 0\u00a0min",
        "1\u00a0h 5\u00a0min",
    ]
    assert percent(0.956) == "96\u00a0%"


def test_the_headline_fits_a_terminal(report: Report) -> None:
    text = headline(report, width=80)
    assert "\u00a0" not in text and max(map(len, text.splitlines())) <= 80
    assert re.search(r"Final true return +0\.93  95 % interval 0\.90 to 0\.96\n", text)
    assert re.search(r"True return +▁.*█\n", text)


def test_sparkline_by_hand() -> None:
    values = np.array([0.0, 0.0, np.nan, np.nan, 1.0, 1.0])
    assert sparkline(values, 0, 1, 3) == "▁ █"
    assert sparkline(np.array([2.0, 2.0]), 2, 2, 9) == "▅▅"
    assert sparkline(np.array([]), 0, 1, 9) == ""


def test_column_reads_only_finite_numbers() -> None:
    records = [
        {"a": 1},
        {"a": 2.5},
        {"a": None},
        {"a": "3"},
        {},
        {"a": True},
        {"a": float("inf")},
        {"a": np.float32(4)},
    ]
    np.testing.assert_array_equal(column(records, "a"), [1, 2.5, *[np.nan] * 5, 4])
    assert column(None, "a").shape == (0,)


def test_settings_become_groups() -> None:
    made = groups({"seed": 0, "policy": {"lr": 7e-4, "inner": {"on": True, "sizes": [64, 64]}}, "empty": {}})
    assert [(group.name, group.rows) for group in made] == [
        ("run", [("seed", "0")]),
        ("policy", [("lr", "0.0007"), ("inner.on", "yes"), ("inner.sizes", "64, 64")]),
    ]


@pytest.mark.parametrize("make", [Calibration, Scatter])
def test_arrays_of_different_lengths_are_refused(make: type) -> None:
    with pytest.raises(ValueError, match=r"two \(n,\) arrays"):
        make(np.zeros(3), np.zeros(4))
