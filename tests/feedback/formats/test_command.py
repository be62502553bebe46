"""`plaudit import` and `plaudit export` as functions, and the table on the page about formats."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
import tyro
from sqlalchemy import insert

from plaudit.feedback.formats import FORMATS, command
from plaudit.feedback.formats.command import ExportArguments, ImportArguments, run_export, run_import
from plaudit.feedback.schema_people import GUIDELINES, PROJECTS
from plaudit.feedback.store import Store
from plaudit.types import PlauditError

GOLDEN = Path(__file__).parent / "golden"
PAGE = Path(__file__).resolve().parents[3] / "docs" / "formats.md"


@pytest.fixture
def filled(path: Path) -> str:
    run_import(ImportArguments(GOLDEN / "plaudit.jsonl", str(path)))
    return str(path)


def test_import_says_what_became_of_a_file(path: Path, tmp_path: Path, capsys):
    file = tmp_path / "pairs.jsonl"
    good = '{"prompt": "%s", "chosen": "a", "rejected": "b"}\n'
    file.write_text(good % "p" + '{"chosen": "a"}\n' * 7 + good % "q")
    assert run_import(ImportArguments(file, str(path), annotator="raters", project="mine")) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == ("pairs.jsonl (preference): 9 objects read; 2 judgements on 2 new questions stored, 7 problems")
    assert lines[1] == "  pairs.jsonl, line 2: field 'rejected' is missing"
    assert lines[-1] == "  and 2 more" and len(lines) == 7
    assert run_import(ImportArguments(file, str(path), annotator="raters", project="mine")) == 0
    assert "0 judgements on 0 new questions stored, 2 were there already" in capsys.readouterr().err
    with pytest.raises(PlauditError, match=r"line 2: field 'rejected' is missing; stopped here"):
        run_import(ImportArguments(file, str(path), strict=True))


def test_a_cut_file_is_no_success(path: Path, tmp_path: Path, capsys):
    rows = "".join(f'{{"prompt": "{number}", "chosen": "a", "rejected": "b"}}\n' for number in range(500))
    for name, data in (("cut.jsonl.gz", rows), ("cut.csv.gz", "prompt,chosen,rejected\n" + "q,a,b\n" * 5000)):
        (tmp_path / name).write_bytes(gzip.compress(data.encode())[:-9])
        with pytest.raises(PlauditError, match=f"{name}, line .*: the file breaks off here .*: fetch it again"):
            run_import(ImportArguments(tmp_path / name, str(path)))
        assert "1 problems" in capsys.readouterr().err


def test_import_of_the_wrong_kind(path: Path, tmp_path: Path):
    with pytest.raises(PlauditError, match=r"nothing in helpsteer2.jsonl could be stored: is it hh-rlhf\?"):
        run_import(ImportArguments(GOLDEN / "helpsteer2.jsonl", str(path), format="hh-rlhf"))
    with pytest.raises(PlauditError, match=r"there is no .*nowhere.jsonl: check the path"):
        run_import(ImportArguments(tmp_path / "nowhere.jsonl", str(path)))
    with pytest.raises(PlauditError, match="there is no format called 'x'"):
        run_import(ImportArguments(GOLDEN / "plaudit.jsonl", str(path), format="x"))
    with pytest.raises(ValueError, match="--length must be at least 1, got 0"):
        ImportArguments(tmp_path, str(path), length=0)
    with pytest.raises(ValueError, match="--project is empty"):
        ImportArguments(tmp_path, str(path), project=" ")


def test_export_says_what_it_left_out(filled: str, tmp_path: Path, capsys):
    capsys.readouterr()
    out = tmp_path / "pairs.jsonl"
    assert run_export(ExportArguments(filled, out, format="hh-rlhf")) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"{out} (hh-rlhf): 1 objects written"
    assert lines[1] == "  4 judgements left out: superseded, withdrawn or surplus"
    assert lines[2] == "  1 judgements left out: they check annotators (gold items and repeats)"
    assert "  2 judgements left out: their items are clips, and the format holds text" in lines
    assert set(json.loads(out.read_text())) == {"chosen", "rejected"}


@pytest.mark.parametrize("name", ["all.jsonl", "all.jsonl.gz", "-"])
def test_export_to(filled: str, tmp_path: Path, name: str, capsysbinary):
    file = None if name == "-" else tmp_path / name
    capsysbinary.readouterr()
    run_export(ExportArguments(filled, file))
    data = capsysbinary.readouterr().out if file is None else file.read_bytes()
    data = gzip.decompress(data) if name.endswith(".gz") else data
    assert data == (GOLDEN / "plaudit.jsonl").read_bytes() or b'"data"' in data  # zlibs differ
    assert [path.name for path in tmp_path.iterdir() if "part" in path.name] == []


def test_an_array_or_lines(filled: str, tmp_path: Path):
    run_export(ExportArguments(filled, tmp_path / "a.json", format="label-studio"))
    run_export(ExportArguments(filled, tmp_path / "a.jsonl.gz", format="label-studio"))
    array = json.loads((tmp_path / "a.json").read_text())
    lines = gzip.decompress((tmp_path / "a.jsonl.gz").read_bytes()).decode().split("\n")[:-1]
    assert array == [json.loads(line) for line in lines] and len(array) > 3
    Store.open(tmp_path / "empty.sqlite").close()
    run_export(ExportArguments(str(tmp_path / "empty.sqlite"), tmp_path / "none.json", format="label-studio"))
    assert (tmp_path / "none.json").read_text() == "[]\n"


def test_export_refuses(filled: str, tmp_path: Path):
    kept = tmp_path / "kept.jsonl"
    kept.write_text("what was here before\n")
    with pytest.raises(PlauditError, match="preference cannot express rating"):
        run_export(ExportArguments(filled, kept, format="preference", kind=("rating",)))
    with pytest.raises(PlauditError, match=r"has no project called 'defualt': choose from .*default"):
        run_export(ExportArguments(filled, kept, project="defualt"))
    assert kept.read_text() == "what was here before\n"  # and no part of a file beside it
    assert not [path for path in tmp_path.iterdir() if "part" in path.name]
    with pytest.raises(PlauditError, match="there is no kind of feedback called 'guess'"):
        run_export(ExportArguments(filled, kept, kind=("guess",)))
    with pytest.raises(PlauditError, match=r"x\.parquet: only JSON is written: end the name in .jsonl"):
        run_export(ExportArguments(filled, tmp_path / "x.parquet"))
    with pytest.raises(PlauditError, match=r"cannot be written .*check the folder and the disk"):
        run_export(ExportArguments(filled, tmp_path / "nowhere" / "x.jsonl"))
    with pytest.raises(PlauditError, match="there is no feedback store at"):
        run_export(ExportArguments(str(tmp_path / "no.sqlite"), kept))


def test_a_reader_that_has_had_enough(path: Path, tmp_path: Path):
    """`plaudit export ... | head -1` ends quietly."""
    file = tmp_path / "many.jsonl"
    row = '{"prompt": "%d", "chosen": "' + "a" * 2000 + '", "rejected": "b"}'
    file.write_text("\n".join(row % number for number in range(200)))
    run_import(ImportArguments(file, str(path)))
    program = (
        "import sys; from plaudit.feedback.formats.command import *; "
        "sys.exit(run_export(ExportArguments(sys.argv[1], format='preference')))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline().startswith(b'{"prompt"')
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


def test_a_bar_after_a_while(path: Path, monkeypatch, capsys):
    monkeypatch.setattr(command, "SILENT", 0.0)
    monkeypatch.setattr(command, "REDRAW_SECONDS", 0.0)
    monkeypatch.setenv("FORCE_COLOR", "1")
    run_import(ImportArguments(GOLDEN / "hh-rlhf.jsonl", str(path)))
    run_export(ExportArguments(str(path), path.with_name("out.jsonl")))
    shown = capsys.readouterr().err
    assert "importing" in shown and "objects/s" in shown and "questions/s" in shown


def test_arguments_as_typed(tmp_path: Path):
    parsed = tyro.cli(ImportArguments, args=["a.jsonl", "b.sqlite", "--strict", "--length", "10"])
    assert parsed == ImportArguments(Path("a.jsonl"), "b.sqlite", length=10, strict=True)
    parsed = tyro.cli(ExportArguments, args=["b.sqlite", "--kind", "rating", "comparison", "--format", "argilla"])
    assert parsed == ExportArguments("b.sqlite", None, "argilla", None, ("rating", "comparison"))


def table() -> str:
    """What each format holds and loses, as the page shows it."""
    parts = []
    for form in sorted(FORMATS.values(), key=lambda form: (form.name != "plaudit", form.name)):
        files = ", ".join(each if " " in each else f"`{each}`" for each in form.suffixes)
        kinds = "everything" if form.name == "plaudit" else ", ".join(form.kinds) or "only read"
        losses = "\n".join(f"| {name} | {why} |" for name, why in form.lossy.items())
        head = f"### `{form.name}`: {form.title}\n\nFiles: {files}. Written from: {kinds}."
        parts.append(f"{head}\n\n| field | what becomes of it |\n|---|---|\n{losses}")
    return "\n\n".join(parts)


def test_every_loss_stands_on_the_page():
    """Where this fails: paste ``table()`` into the page."""
    assert table() in PAGE.read_text(encoding="utf-8")


def test_the_questions_of_a_file_are_asked_without_its_answers(tmp_path: Path, capsys):
    """In the wording of the app's project, where there is one of that name and kind."""
    path, place = tmp_path / "pairs.jsonl", tmp_path / "f.sqlite"
    rows = [
        {"chosen": f"\n\nHuman: {n}\n\nAssistant: yes", "rejected": f"\n\nHuman: {n}\n\nAssistant: no"}
        for n in range(3)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with Store.open(place) as store, store.database.write() as connection:
        project = {
            "name": "pairs",
            "title": "Pairs",
            "kind": "comparison",
            "wording": "Which is kinder?",
            "created_at": 0.0,
        }
        connection.execute(insert(PROJECTS).values(**project, settings="{}", options='{"scale":"eight"}'))
        text = {"project": "pairs", "text": "Be kind", "author": "Ada", "created_at": 0.0}
        connection.execute(insert(GUIDELINES), [text | {"version": version} for version in ("9", "10")])
    assert run_import(ImportArguments(path, str(place), project="pairs", ask=2)) == 0
    assert "3 new questions asked, for 2 judgements each" in capsys.readouterr().err
    with Store.open(place) as store:
        assert not store.judgements()
        (question,) = [lease.question for lease in store.claim("Ada", 1)]
        assert (question.wording, question.guideline, dict(question.options)) == (
            "Which is kinder?",
            "10",
            {"scale": "eight"},
        )
        assert [len(store.claim(name, 9)) for name in ("Ada", "Ben", "Cy")] == [2, 3, 0]
    assert run_import(ImportArguments(path, str(place), project="pairs", ask=2)) == 0
    assert "in the store already" in capsys.readouterr().err
    with pytest.raises(ValueError, match="--ask"):
        ImportArguments(path, str(place), ask=-1)
