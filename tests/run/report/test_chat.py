"""The report of a language run: what the numbers say, what is missing, and that nobody's text does anything."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plaudit.language.evaluation import Column, Estimate, Evaluation, Example, JudgeSummary
from plaudit.run.report.calibration import Calibration
from plaudit.run.report.language import FEW, language_report
from plaudit.run.report.language_data import LanguageResults
from plaudit.run.report.page import render, write_report
from plaudit.run.report.sections import Report
from plaudit.run.report.text import headline
from plaudit.types import Message, PlauditError

from ..test_report import HOSTILE, Page

STEPS = ["step-1", "step-2", "step-3"]
ORDER = ["samples", "evaluation", *STEPS, "counts", "settings", "reproduce"]


def rounds(count: int = 12) -> list[dict[str, object]]:
    return [
        {
            "round": index + 1,
            "score": index / count,
            "kl": 0.5 * index,
            "kl_token": 0.01 * index,
            "kl_coefficient": 0.05,
            "tokens": 30.0 + index,
            "ended": 0.9,
            "clipped": 0.1,
            "value_loss": 0.3,
            "entropy": 2.0,
            "loss": 0.6,
            "accuracy": 0.7,
            "labels": 40 * (index + 1),
            "seconds": 60.0 * (index + 1),
            "held_out": 0.2 + 0.05 * index if index % 3 == 0 else None,
        }
        for index in range(count)
    ]


def evaluation() -> Evaluation:
    before = Column(
        "before",
        {
            "share": Estimate(0.2, 0.1, 0.3),
            "kl": Estimate(0.0),
            "tokens": Estimate(31.0, 28.0, 34.0),
            "loss": Estimate(3.0),
        },
    )
    after = Column(
        "after",
        {
            "share": Estimate(0.75, 0.65, 0.84),
            "win_rate": Estimate(0.81, 0.72, 0.88),
            "kl": Estimate(6.25, 5.0, 7.5),
            "kl_token": Estimate(0.12, 0.1, 0.14),
            "tokens": Estimate(32.0, 29.0, 35.0),
            "loss": Estimate(3.04, 2.9, 3.1),
        },
        {
            "share": Estimate(0.55, 0.42, 0.66),
            "tokens": Estimate(1.0, -1.5, 3.5),
            "loss": Estimate(0.04, 0.03, 0.05),
        },
    )
    best = Column("best of 4", {"share": Estimate(0.4, 0.3, 0.5), "kl": Estimate(0.64)}, {"share": Estimate(0.2)})
    shown = tuple(
        Example(
            (Message("system", "Be kind."), Message("user", f"question {index}")),
            (f"old answer {index}", f"new answer {index}", ""),
            (True, index % 2 == 0, True),
            (False, True, False),
            (None, win, 0.25),
        )
        for index, win in enumerate((1.0, 0.5, 0.0, None, 1.0, 1.0))
    )
    return Evaluation(
        (before, after, best),
        100,
        2,
        {"seed": 0},
        {"after": JudgeSummary("kindness", 198, 2, 0.125)},
        33,
        examples=shown,
    )


@pytest.fixture(scope="module")
def data() -> LanguageResults:
    rng = np.random.default_rng(0)
    predicted = rng.uniform(size=80)
    return LanguageResults(
        title="Kind answers",
        model="smollm2",
        command="plaudit chat --out runs/kind",
        settings={"seed": 0, "improve": {"clip": 0.2}},
        versions={"plaudit": "0.1.0"},
        rounds=rounds(),
        sft=[{"step": n, "loss": 3 / n, "learning_rate": 1e-5, "tokens": 100} for n in range(1, 9)],
        reward=[{"step": n, "loss": 0.7 - n / 40, "accuracy": 0.5 + n / 40} for n in range(1, 9)],
        evaluation=evaluation(),
        calibration=Calibration(predicted, (rng.uniform(size=80) < predicted).astype(float)),
        accuracy=Estimate(0.74, 0.7, 0.78),
        length_accuracy=Estimate(0.61, 0.56, 0.66),
        counts={"judgements": {"comparison": 480, "said nothing": 7}, "texts": {"cut": 3}},
    )


@pytest.fixture(scope="module")
def report(data: LanguageResults) -> Report:
    return language_report(data)


@pytest.fixture(scope="module")
def html(report: Report) -> str:
    return render(report)


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def with_measures(data: LanguageResults, before: dict[str, Estimate], change: dict[str, Estimate]) -> LanguageResults:
    """The same run, whose evaluation also has these measures of the start and their differences at the end."""
    assert data.evaluation is not None
    first, after, *others = data.evaluation.columns
    sums = {name: Estimate(before[name].value + change[name].value) for name in before}
    first = dataclasses.replace(first, measures={**first.measures, **before})
    after = dataclasses.replace(after, measures={**after.measures, **sums}, differences={**after.differences, **change})
    return dataclasses.replace(data, evaluation=dataclasses.replace(data.evaluation, columns=(first, after, *others)))


@pytest.mark.usefixtures("blank_figures_here")
def test_responses_that_lose_their_prompts_are_told(data: LanguageResults) -> None:
    """On the page and in the headline; a fall that may be chance, or of few points, is not."""
    before = {"retrieved": Estimate(0.8), "prompt_information": Estimate(12.0), "answers": Estimate(0.15)}
    hacked = {
        "retrieved": Estimate(-0.5, -0.6, -0.4),
        "prompt_information": Estimate(-9.0, -10.0, -8.0),
        "answers": Estimate(0.1, 0.02, 0.18),
    }
    text = Page(render(language_report(with_measures(data, before, hacked)))).text.replace("\u00a0", " ")
    assert (
        "Responses depend less on their prompts than before training: the prompt is found from 30 % of them, from 80 % "
        "before and they hold 3 nats of information on it, 12 before."
    ) in text
    assert "25 % of the responses to held-out prompts satisfy a rule that training never saw and show" in text
    for change in (
        {"retrieved": Estimate(-0.5, -1.0, 0.1), "prompt_information": Estimate(-9.0, -20.0, 1.0)},
        {"retrieved": Estimate(-0.05, -0.06, -0.04), "prompt_information": Estimate(-5.0, -5.5, -4.5)},
    ):
        sound = with_measures(data, before, change | {"answers": Estimate(0.1)})
        assert "depend less on their prompts" not in Page(render(language_report(sound))).text


@pytest.mark.usefixtures("blank_figures_here")
def test_few_rounds_are_drawn_by_their_updates(data: LanguageResults) -> None:
    updates = [{"round": 1 + n // 4, "update": n % 4, **row} for n, row in enumerate(rounds(8))]
    found = {}
    for count in (2, FEW):
        text = render(language_report(dataclasses.replace(data, rounds=rounds(count), updates=updates)))
        assert f"Each dot is one {'update' if count < FEW else 'round'}" in text
        found[count] = [each for each in ("Over update:", "Over round:") if each in text]
    assert found == {2: ["Over update:", "Over round:"], FEW: ["Over round:"]}  # the reward model is fitted in rounds


def test_the_page_says_what_the_numbers_say(page: Page) -> None:
    assert [element["id"] for element in page.of("section")] == ORDER
    assert len(page.of("svg")) == 9  # loss; fitting, rounds, calibration; reward, distance, penalty, length, updates
    for words in (
        "From 480 judgements: 75 % of the responses to held-out prompts satisfy a rule that training never saw, 20 % "
        "before, and the judge prefers the new policy 81 % of the time.",
        "20 % → 75 %",
        "+55 points (+42 to +66)",
        "against before, 72 to 88 %",
        "6.25 nats",
        "a response, 0.12 a token",
        "+0.04",
        "nats per token, +0.03 to +0.05",
        "70 to 78 %, length alone 61 %",
        "On 100 prompts that training never saw, 2 responses to each",
        "The judge is kindness: 198 pairs decided, 2 not; its verdict changed with the order in 12 %.",
        "+1 (−1.50 to +3.50)",  # noqa: RUF001
        "A rule that knows only length is right in 61 %.",
        "said nothing 7",
        "clip 0.2",
        "plaudit chat --out runs/kind",
        "plaudit 0.1.0",
    ):
        assert words.replace("\u00a0", " ") in page.text.replace("\u00a0", " "), words


def test_samples_stand_side_by_side_with_what_is_known_of_them(html: str) -> None:
    text = html
    cards = re.findall(r'<article class="card sample">.*?</article>', text, re.DOTALL)
    assert len(cards) == 6 and text.index("<details>") < text.index(cards[4])  # four, and more when asked
    said = [re.findall(r'class="note">([^<]*)<', card) for card in cards]
    assert said[0] == [
        "breaks the rule",
        "satisfies the rule · preferred to before",
        "breaks the rule · the order decides",
    ]
    assert said[1] == [
        "breaks the rule",
        "satisfies the rule · cut off · as good as before",
        "breaks the rule · the order decides",
    ]
    assert said[2] == [
        "breaks the rule",
        "satisfies the rule · worse than before",
        "breaks the rule · the order decides",
    ]
    for card, words in zip(cards, range(6), strict=True):
        assert card.index("Be kind.") < card.index(f"question {words}") < card.index(f"old answer {words}")
        assert card.index(f"old answer {words}") < card.index(f"new answer {words}") < card.index("nothing</p>")


def test_the_headline_is_about_the_policy_and_not_about_what_it_started_from(data: LanguageResults) -> None:
    found = evaluation()
    before, after, best = found.columns
    tuned = Column("fine-tuned", {"share": Estimate(0.5), "kl": Estimate(0.0)})
    between = dataclasses.replace(
        found,
        columns=(before, tuned, after, best),
        reference="fine-tuned",
        examples=(),
    )
    text = render(language_report(dataclasses.replace(data, evaluation=between)))
    assert "20\u00a0% \u2192 75\u00a0%" in text and "KL is measured from fine-tuned." in text
    figure = next(each for each in re.findall(r"<svg.*?</svg>", text, re.DOTALL) if "square root" in each)
    assert ">fine-tuned<" in figure and ">after<" in figure and ">before<" not in figure


def test_a_difference_that_could_be_nothing_is_not_coloured(html: str) -> None:
    text = html
    assert re.search(r'<small class="clear">\+55', text) and re.search(r"<small>\+1 \(", text)
    assert re.search(r"<small>\+20", text)  # no interval, no claim


def test_the_page_asks_for_nothing_and_runs_nothing(html: str, page: Page) -> None:
    text = html
    assert re.search(r"(?:https?:)?//[\w-]+\.", text) is None and page.of("script") == []
    policy = next(element["content"] for element in page.of("meta") if "http-equiv" in element)
    assert policy is not None and policy.startswith("default-src 'none'") and "script" not in policy
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    figures = "".join(re.findall(r"<svg.*?</svg>", text, re.DOTALL))
    assert re.search(r"(?:fill|stroke): #", figures) is None  # no colour that light or dark could not change


NASTY = [
    HOSTILE,
    "<img src=x onerror=alert(1)>",
    "</p></div></article><script>alert(1)</script>",
    '"><svg onload=alert(1)>',
    "{{ 7 * 7 }}{% include 'report.js' %}",
    "</style><script>alert(1)</script>",
    "\u202egnissap\u202c \ud800 \x00\x1b[31m",
]


def hostile(text: str) -> LanguageResults:
    """Their text wherever text may stand."""
    shown = Example((Message("user", text),), (text, text), (True, False), (True, False), (None, 1.0))
    found = Evaluation(
        (Column(text, {"share": Estimate(0.1)}), Column(text, {"share": Estimate(0.9), "kl": Estimate(1.0)})),
        1,
        1,
        {},
        {text: JudgeSummary(text, 1)},
        0,
        examples=(shown,),
    )
    return LanguageResults(
        text,
        text,
        text,
        {text: {text: text}},
        {text: text},
        [{"score": 0.5, "kl": 1.0}],
        evaluation=found,
        counts={text: [text]},
    )


@pytest.fixture(scope="module")
def hostile_reports() -> dict[str, Report]:
    """The report of each nasty text."""
    return {text: language_report(hostile(text)) for text in NASTY}


@pytest.fixture(scope="module")
def hostile_pages(hostile_reports: dict[str, Report], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The file of each of these reports."""
    folder = tmp_path_factory.mktemp("hostile")
    pages = {text: folder / f"{number}.html" for number, text in enumerate(NASTY)}
    for text, path in pages.items():
        write_report(hostile_reports[text], path)
    return pages


@pytest.mark.parametrize("text", NASTY)
def test_what_strangers_wrote_is_shown_and_not_run(
    text: str, hostile_pages: dict[str, Path], hostile_reports: dict[str, Report]
) -> None:
    page = Page(hostile_pages[text].read_text(encoding="utf-8"))
    assert page.of("script") == [] and page.of("b") == [] and page.of("img") == [] and len(page.of("style")) == 1
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    texts = [attributes for tag, attributes in page.elements if tag == "p" and "said" in str(attributes.get("class"))]
    assert len(texts) == 3 and all(each["dir"] == "auto" for each in texts)  # their direction ends where they do
    assert "\x1b" not in headline(hostile_reports[text])


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, once for all."""
    playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright here: pip install playwright")
    from tests.server.work.browser import CHROMIUM, launch  # it needs Playwright

    if CHROMIUM is None:
        pytest.skip("no Chromium here: on Debian, apt install chromium")
    with playwright.sync_playwright() as started:
        browser = launch(started)
        yield browser
        browser.close()


def test_a_browser_runs_nothing(browser: Any, hostile_pages: dict[str, Path]) -> None:
    window = browser.new_page(viewport={"width": 360, "height": 800})
    asked: list[str] = []
    said: list[str] = []
    window.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    window.on("request", lambda request: asked.append(request.url))
    for path in hostile_pages.values():
        window.goto(path.as_uri())
        assert window.evaluate("document.documentElement.scrollWidth") <= 360
        assert window.locator("article").count() == 1 and window.locator("article .said").count() == 3
        assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
        asked.clear()
    window.close()
    assert said == []


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 360)])
def test_everybody_can_read_it(browser: Any, html: str, tmp_path: Path, scheme: str, width: int) -> None:
    """axe finds nothing: contrast, names, order of headings, what can be scrolled."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe here: pip install '.[dev]'")
    path = tmp_path / "report.html"
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html)  # axe is a script
    path.write_text(text, encoding="utf-8")
    window = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    window.goto(path.as_uri())
    assert window.evaluate("document.documentElement.scrollWidth") <= width
    found = axe.Axe().run(window)
    window.close()
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize(
    ("change", "gone"),
    [
        ({"sft": ()}, {"step-1"}),
        ({"evaluation": None}, {"samples", "evaluation"}),
        ({"rounds": ()}, {"step-3"}),
        ({"counts": {}}, {"counts"}),
        ({"settings": {}}, {"settings"}),
        ({"command": "", "versions": {}}, {"reproduce"}),
        ({"rounds": [{"round": 1, "held_out": None, "score": float("nan")}]}, {"step-3"}),
        ({"reward": (), "calibration": None, "rounds": [{"score": 1.0}]}, {"step-2"}),
    ],
)
def test_what_is_missing_is_left_out(
    data: LanguageResults, change: dict[str, object], gone: set[str], request: pytest.FixtureRequest
) -> None:
    if "nan" not in str(change):
        request.getfixturevalue("blank_figures_here")
    page = Page(render(language_report(dataclasses.replace(data, **change))))  # type: ignore[arg-type]
    assert {element["id"] for element in page.of("section")} == set(ORDER) - gone
    assert not re.search(r"\bnan\b|None", page.text)


def test_nothing_at_all_is_said(tmp_path: Path) -> None:
    empty = LanguageResults("Kind answers", "smollm2")
    page = Page(render(language_report(empty)))
    assert page.of("section") == [] and page.of("svg") == []
    assert "The policy has not been evaluated on held-out prompts yet." in page.text
    assert "not evaluated yet" in headline(language_report(empty))
    with pytest.raises(PlauditError, match="cannot write"):
        write_report(language_report(empty), tmp_path / "gone" / "report.html")


@pytest.mark.usefixtures("blank_figures_here")
@pytest.mark.parametrize(
    ("column", "figures"),
    [("held_out", 9), ("kl", 8), ("score", 8)],
)
def test_a_plot_draws_what_there_is(data: LanguageResults, column: str, figures: int) -> None:
    """Without KL there is no distance to plot against; without a reward nothing to plot there."""
    rows = [{name: value for name, value in row.items() if name != column} for row in rounds()]
    page = Page(render(language_report(dataclasses.replace(data, rounds=rows))))
    assert len(page.of("svg")) == figures


def test_the_headline_fits_a_terminal(report: Report) -> None:
    text = headline(report)
    assert all(len(line) <= 80 for line in text.splitlines())
    assert text.startswith("Kind answers · smollm2\nFrom 480 judgements: 75 %")
    assert re.search(r"Held-out rule +20 % → 75 %", text) and re.search(r"Held-out share +▁", text)


def test_steps_that_are_counted_anew_in_each_round_are_drawn_in_a_row(data: LanguageResults) -> None:
    fitted = [{"round": n, "step": step, "loss": 0.6} for n in (1, 2, 3) for step in range(20)]
    figures = re.findall(
        r"<figure.*?</figure>", render(language_report(LanguageResults("Kind", "smollm2", reward=fitted))), re.DOTALL
    )
    figure = next(each for each in figures if "<h3>Fitting</h3>" in each)
    assert ">60</text>" in figure


@pytest.mark.usefixtures("blank_figures_here")
def test_one_round_is_a_report_too(data: LanguageResults) -> None:
    page = Page(render(language_report(dataclasses.replace(data, rounds=rounds(1)))))
    assert "1 round" in page.text and "step-3" in {element["id"] for element in page.of("section")}
