"""The survey's answers as a file: apart from judgements, and safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io

import pytest

from .conftest import Site, told

QUESTIONS = [
    {"name": "age", "label": "Age", "type": "number"},
    {"name": "=words", "label": "Words", "type": "text"},
]
NAMES = ("Ada", "@Ben", 'Çelik, "C"')


@pytest.fixture
def site(any_site: Site) -> Site:
    return any_site


def test_csv_and_json_say_the_same_and_csv_holds_no_formula(site: Site) -> None:
    boss = site.join("Boss", "admin")
    assert "/api/admin/survey" not in boss.get("/admin/settings").text
    boss.put("/api/admin/settings", json={"survey": [*QUESTIONS, {"name": "old", "label": "Old", "type": "text"}]})
    ada, ben, cem = (site.join(name) for name in NAMES)
    words = '=HYPERLINK("http://evil.example","look")'
    assert ada.put("/api/survey", json={"answers": {"age": -3, "=words": words, "old": "-"}}).status_code == 204
    assert ben.put("/api/survey", json={"answers": {"=words": 'two\nlines, and a "quote"'}}).status_code == 204
    assert cem.put("/api/survey", json={"answers": {"age": 1.5, "=words": " +1"}}).status_code == 204
    boss.put("/api/admin/settings", json={"survey": QUESTIONS})

    said = boss.get("/api/admin/survey")  # JSON is as it was said
    assert said.headers["content-disposition"] == 'attachment; filename="survey.json"'
    rows = {row["annotator"]: row for row in said.json()}
    assert set(rows) == set(NAMES) and rows["Ada"]["answers"] == {"age": -3, "=words": words, "old": "-"}
    assert rows["Ada"]["given_at"] == site.clock.now

    table = boss.get("/api/admin/survey?format=csv")
    assert table.headers["content-type"] == "text/csv; charset=utf-8"
    assert table.headers["content-disposition"] == 'attachment; filename="survey.csv"'
    head, *lines = csv.reader(io.StringIO(table.content.decode(), newline=""))
    assert head == ["annotator", "given_at", "age", "'=words", "old"]
    by_name = {line[0]: line[2:] for line in lines}
    assert by_name == {
        "Ada": ["-3", f"'{words}", "'-"],
        "'@Ben": ["", 'two\nlines, and a "quote"', ""],
        NAMES[2]: ["1.5", "' +1", ""],
    }
    page = boss.get("/admin/settings").text
    assert "3 people have answered" in page and 'href="/api/admin/survey?format=csv" download' in page


def test_before_anybody_has_answered(site: Site) -> None:
    boss = site.join("Boss", "admin")
    assert boss.get("/api/admin/survey?format=json").json() == []
    assert boss.get("/api/admin/survey?format=csv").text == "annotator,given_at\r\n"


def test_it_is_for_admins(site: Site) -> None:
    for role in ("annotator", "red-team", "reviewer"):
        assert "admin" in told(site.join(role, role).get("/api/admin/survey"), 403)
    assert "format" in told(site.join("Boss", "admin").get("/api/admin/survey?format=xlsx"), 422)
