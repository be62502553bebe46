"""Files as they are found: compressed, broken off, with marks and blank lines; what cannot be read is named."""

import gzip
import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plaudit.feedback.formats import _files, _tables, recognise
from plaudit.feedback.formats._files import rows
from plaudit.feedback.formats._record import QUOTED
from plaudit.types import PlauditError

PAIR = {"prompt": "q", "chosen": "good", "rejected": "bad"}


def pairs(count: int) -> list[dict[str, str]]:
    return [{**PAIR, "prompt": f"question {number}"} for number in range(count)]


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize(
    "shape", ["lines", "array", "indented", "crlf", "bom", "blank lines", "no last newline", "one"]
)
def test_shapes(exchange, shape: str, packed: bool):
    found, one = pairs(3), json.dumps
    text = {
        "lines": "".join(one(each) + "\n" for each in found),
        "array": one(found),
        "indented": "\n " + json.dumps(found, indent=4) + "\n",
        "crlf": "".join(one(each) + "\r\n" for each in found),
        "bom": "\ufeff" + "".join(one(each) + "\n" for each in found),
        "blank lines": "\n\n" + "\n \t\n".join(one(each) for each in found) + "\n\n",
        "no last newline": "\n".join(one(each) for each in found),
        "one": json.dumps(found[0], indent=2),
    }[shape]
    name = "pairs.json.gz" if packed else "pairs.json"
    data = text.encode()
    result = exchange.load(exchange.write(name, gzip.compress(data) if packed else data))
    assert (result.format, result.problems.count) == ("preference", 0)
    assert result.accepted == result.read == (1 if shape == "one" else 3)


MALFORMED = {
    "no JSON": ('{"prompt": "q", ', "line 2: is not JSON: "),
    "no object": ("[1, 2]", "line 2: the row must be an object, got [1, 2]"),
    "a missing field": ('{"chosen": "x"}', "line 2: field 'rejected' is missing"),
    "null": ('{"chosen": null, "rejected": "x"}', "line 2: field 'chosen' is null"),
    "a wrong type": (
        '{"prompt": "q", "chosen": "x", "rejected": 3}',
        "line 2: field 'rejected' must be text or a list, got 3",
    ),
    "deep inside": (
        '{"prompt": [{"role": "user"}], "chosen": "x", "rejected": "y"}',
        "line 2: field 'prompt[0].content' is missing",
    ),
    "an unknown role": (
        '{"prompt": [{"role": "judge", "content": ""}], "chosen": "x", "rejected": "y"}',
        "line 2: field 'prompt[0].role' must be one of system, ",
    ),
    "nothing to compare": ('{"chosen": "x", "rejected": "x"}', "line 2: field 'chosen' is the same as 'rejected'"),
    "not UTF-8": (b'{"chosen": "\xff", "rejected": "x"}\n', "line 2: is not UTF-8 (byte 13)"),
    "too deep": ("[" * 100_000, "line 2: is not JSON: maximum recursion depth"),
}


@pytest.mark.parametrize(("bad", "line"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_line_is_named_and_stops_nothing(exchange, bad, line: str):
    first, last = pairs(2)
    file = exchange.write("pairs.jsonl", first, bad, last)
    result = exchange.load(file)
    empty = [f"{place}: {reason}" for reason, place in result.problems.first_empty.items()]
    assert (result.read, result.accepted, result.problems.count + result.problems.empty.total()) == (3, 2, 1)
    assert bool(empty) == ("is null" in line or "is the same" in line)  # says nothing, which is no fault
    assert empty[0].startswith(line) if empty else result.problems.first[0].startswith(f"pairs.jsonl, {line}")
    with pytest.raises(PlauditError) as caught:
        exchange.load(file, strict=True)
    assert str(caught.value).startswith(f"pairs.jsonl, {line}") and "\n" not in str(caught.value)


def test_many_problems_are_counted_and_the_first_few_quoted(exchange):
    result = exchange.load(exchange.write("pairs.jsonl", PAIR, *[{"chosen": "x"}] * 40))
    assert (result.accepted, result.problems.count, len(result.problems.first)) == (1, 40, QUOTED)


def test_what_the_store_refuses_is_named_and_the_rest_stored(exchange, monkeypatch):
    """A line that is well formed and cannot be: its neighbours in the transaction are stored all the same."""
    everything = exchange.folder.parent / "x"
    assert not everything.exists()
    questions = exchange.write("pairs.jsonl", *pairs(20))
    exchange.load(questions)
    lines = exchange.dump("plaudit")[0].split(b"\n")[:-1]
    said = [index for index, line in enumerate(lines) if line.startswith(b'{"judgement"')]
    lines[said[7]] = lines[said[7]].replace(b'"strength": 4', b'"strength": 9').replace(b": -4}", b": 9}")
    lines[said[9]] = lines[said[9]].replace(b'"on": "', b'"on": "0')
    exchange.store.close()
    with type(exchange.store).open(exchange.folder / "new.sqlite") as fresh:
        exchange.store = fresh
        result = exchange.load(exchange.write("all.jsonl", b"\n".join(lines)))
    assert (result.accepted, result.problems.count) == (18, 2)
    places = [line.split(": ")[0] for line in result.problems.first]
    assert places == [f"all.jsonl, line {said[7] + 1}", f"all.jsonl, line {said[9] + 1}"]
    assert "whole number in -4..4" in result.problems.first[0] and "never asked" in result.problems.first[1]


def test_half_a_character(exchange):
    """A response may hold one (somebody's tokens were cut); a name or a reason may not, for no database takes it."""
    odd = {"prompt": "q", "chosen": "half \ud83d", "rejected": "b"}
    result = exchange.load(exchange.write("odd.jsonl", json.dumps(odd)))
    assert result.accepted == 1
    assert exchange.rows("preference")[0]["chosen"][0]["content"] == "half \ud83d"
    vote = {
        "conversation_a": [{"role": "user", "content": "a"}],
        "conversation_b": [{"role": "user", "content": "b"}],
        "winner": "tie",
        "judge": "half \ud83d",
    }
    result = exchange.load(exchange.write("votes.jsonl", json.dumps(vote)))
    assert "half a character" in result.problems.first[0]


def test_a_file_that_breaks_off(exchange):
    data = gzip.compress("".join(json.dumps(each) + "\n" for each in pairs(2000)).encode())
    result = exchange.load(exchange.write("pairs.jsonl.gz", data[: len(data) // 2]))
    assert result.accepted > 100 and result.problems.count == 1
    with pytest.raises(PlauditError, match=r"pairs.jsonl.gz, line \d+: the file breaks off here .* fetch it again"):
        result.check_whole()
    assert "the file breaks off here" in result.problems.first[0] and "fetch it again" in result.problems.first[0]
    result = exchange.load(exchange.write("pairs.json", json.dumps(pairs(3))[:-1].encode()))
    assert result.read == 4 and result.problems.first == [
        "pairs.json, element 4: the file breaks off here (the array is not closed): fetch it again"
    ]


def test_an_array_ends_at_an_element_that_is_no_json(exchange):
    file = exchange.write("pairs.json", b'[{"chosen": "a", "rejected": "b"}, {"chosen": oops}, {}]')
    result = exchange.load(file)
    assert result.accepted == 1 and result.problems.count == 1
    assert result.problems.first[0].startswith("pairs.json, element 2: is not JSON: Expecting value")
    assert "nothing from here on was read" in result.problems.first[0]


def test_an_empty_file_a_strange_one_and_none(exchange, tmp_path: Path):
    with pytest.raises(PlauditError, match="is empty"):
        exchange.load(exchange.write("empty.jsonl"))
    with pytest.raises(PlauditError, match=r"has the columns a, which belong to no known format: .*--columns prompt=a"):
        exchange.load(exchange.write("strange.jsonl", {"a": 1}))
    with pytest.raises(PlauditError, match=r"line 1: is not JSON.*say --format"):
        exchange.load(exchange.write("text.jsonl", "Dear all,"))
    with pytest.raises(PlauditError, match="cannot be read"):
        exchange.load(tmp_path / "nowhere.jsonl", "preference")
    with pytest.raises(PlauditError, match="of a kind that is not read"):
        exchange.load(exchange.write("data.pkl", b"\x80"), "preference")
    with pytest.raises(PlauditError, match="there is no format called 'csv': choose from"):
        exchange.load(exchange.write("x.jsonl", PAIR), "csv")
    with pytest.raises(PlauditError, match="does not begin with an object"):
        recognise([], "x")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(st.dictionaries(st.text(max_size=4), JSON, max_size=3), max_size=5), st.sampled_from([None, 1, 4]))
def test_an_array_is_read_through_a_small_buffer(tmp_path_factory, found: list, indent: int | None):
    file = tmp_path_factory.mktemp("arrays") / "array.json"
    file.write_text(json.dumps(found, ensure_ascii=False, indent=indent), encoding="utf-8")
    before, _files.CHUNK = _files.CHUNK, 3
    try:
        assert [(row.location, row.value) for row in rows(file)] == [
            (f"element {number}", value) for number, value in enumerate(found, 1)
        ]
    finally:
        _files.CHUNK = before


def test_a_table_by_columns_is_one_object_by_itself(tmp_path: Path):
    """Lists of one length are columns there alone: not in an array, not in lines, and not if they are conversations."""
    table = {"prompt": ["a", "b"], "completion": ["c", "d"]}
    pair = {side: [{"role": "user", "content": "Q?"}, {"role": "assistant", "content": side}] for side in ("x", "y")}
    contents = {
        "table": (json.dumps(table), [{"prompt": "a", "completion": "c"}, {"prompt": "b", "completion": "d"}]),
        "array": (json.dumps([table]), [table]),
        "lines": (f"{json.dumps(table)}\n{json.dumps(table)}\n", [table, table]),
        "pair": (json.dumps(pair), [pair]),
    }
    for name, (text, values) in contents.items():
        file = tmp_path / f"{name}.json"
        file.write_text(text, encoding="utf-8")
        assert [row.value for row in rows(file)] == values, name


@pytest.mark.parametrize("array", [False, True], ids=["lines", "array"])
def test_reading_takes_no_more_memory_for_a_longer_file(tmp_path: Path, array: bool):
    def peak(count: int) -> int:
        body = [json.dumps({"text": "x" * 5000}) for _ in range(count)]
        file = tmp_path / f"{count}.json"
        file.write_text("[" + ",".join(body) + "]" if array else "\n".join(body), encoding="utf-8")
        tracemalloc.start()
        assert sum(1 for _ in rows(file)) == count
        _, top = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return top

    assert peak(2000) < 2 * peak(100) < 4_000_000


def test_parquet(exchange, second):
    """The same rows as in lines, nested lists and all."""
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    for file in (Path(__file__).parent / "golden").glob("*.jsonl"):
        if file.name.split(".")[0] not in ("chatbot-arena", "helpsteer3", "ultrafeedback-binarized", "argilla"):
            continue
        here, there = second(), second()
        found = [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]
        drop = ("openai_moderation", "toxic_chat_tag")  # empty objects, which parquet cannot hold
        columns = dict.fromkeys(key for row in found for key in row if key not in drop)
        found = [{key: row.get(key) for key in columns} for row in found]
        target = exchange.folder / "table.parquet"
        parquet.write_table(pyarrow.Table.from_pylist(found), target)
        assert here.load(target).problems.count == there.load(file).problems.count == 0
        assert here.dump("plaudit") == there.dump("plaudit")
    broken = exchange.write("broken.parquet", b"PAR1 but no more")
    with pytest.raises(PlauditError, match=r"broken.parquet cannot be read .*fetch it again"):
        exchange.load(broken)


def test_parquet_without_pyarrow(exchange, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(PlauditError, match=r"can only be read with pyarrow: pip install -e '\.\[parquet\]'"):
        exchange.load(exchange.write("x.parquet", b""), "preference")


@pytest.mark.parametrize("name", ["pairs.jsonl.gz", "pairs.csv.gz", "pairs.csv"])
def test_a_line_without_an_end_is_bounded(exchange, name, monkeypatch: pytest.MonkeyPatch):
    """A gzip file of 1 MB can hold a line of 1 GB."""
    for module in (_files, _tables):
        monkeypatch.setattr(module, "LARGEST", 10_000)
    begin = b"prompt,chosen,rejected\nq,a,b\n" if "csv" in name else json.dumps(pairs(1)[0]).encode() + b"\n"
    data = begin + b"x" * 1_000_000 + b"\n" + begin
    result = exchange.load(exchange.write(name, gzip.compress(data) if name.endswith("gz") else data))
    assert (result.accepted, result.problems.count) == (1, 1)
    assert "longer than 10,000" in result.problems.first[0] and "from here on" in result.problems.first[0]
