"""Rules of the house that import-linter and ruff cannot hold."""

import ast
import functools
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from jaxtyping import TypeCheckError

from plaudit.functional.masked import masked_mean

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
OPTIONAL = {
    "ale_py",
    "peft",
    "pyarrow",
    "h5py",
    "httpx",
    "pandas",
    "datasets",
    "huggingface_hub",
}  # of an extra, or of the user
DISTRIBUTED = {"ray", "torch.distributed"}  # only run/ may know that there is more than one process


EMPTY_NAMES = set((ROOT / "tests" / "empty_names.txt").read_text(encoding="utf-8").split())


@functools.cache  # and not when the tests are collected, which every worker does
def trees() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES}


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def imported(node: ast.AST) -> list[str]:
    """Dotted names that an import statement may bind: `from torch import distributed` gives both."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


def test_rooms_are_small() -> None:
    """A file is a few screens, a function one, and a call can be read (the design says 400, 60 and 7)."""
    assert len(SOURCES) > 200
    faults = []
    for path, tree in trees().items():
        total = path.read_text(encoding="utf-8").count("\n")
        faults += [f"{name(path)}: {total} lines"] if total > 420 else []
        for function in functions(tree):
            lines = (function.end_lineno or function.lineno) - function.lineno + 1
            arguments = function.args
            count = len(arguments.posonlyargs) + len(arguments.args) + len(arguments.kwonlyargs)
            if lines > 70 or count > 8:
                faults.append(f"{name(path)}:{function.lineno} {function.name}: {lines} lines, {count} arguments")
    assert not faults, "\n".join(faults)


def test_imports_stand_at_the_top() -> None:
    hidden = {
        f"{name(path)}: {function.name} imports {names[0]}"
        for path, tree in trees().items()
        for function in functions(tree)
        for node in ast.walk(function)
        if (names := imported(node)) and names[0].split(".")[0] not in OPTIONAL
    }
    assert not hidden, "\n".join(sorted(hidden))


def test_only_run_knows_of_other_processes() -> None:
    """import-linter sees packages outside this one as a whole, so `torch.distributed` needs a test."""
    faults = {
        f"{name(path)} imports {module}"
        for path, tree in trees().items()
        if "src/plaudit/run" not in name(path)
        for node in ast.walk(tree)
        for module in imported(node)
        if any(module == package or module.startswith(f"{package}.") for package in DISTRIBUTED)
    }
    assert not faults, "\n".join(sorted(faults))


def bound_name(node: ast.AST) -> str:
    """The name that the node binds: a variable, an attribute, a parameter, a function or a class; "" for others."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        return node.attr
    if isinstance(node, ast.arg):
        return node.arg
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return node.name
    if isinstance(node, ast.alias):
        return node.asname or ""
    return (node.name or "") if isinstance(node, ast.ExceptHandler) else ""


def test_names_are_nouns_and_verbs_of_the_field() -> None:
    """`each`, `found` or `there` tells a reader nothing about what the variable holds."""
    faults = [
        f"{name(path)}:{getattr(node, 'lineno', 0)} {bound_name(node)}"
        for path, tree in trees().items()
        for node in ast.walk(tree)
        if bound_name(node).strip("_").lower() in EMPTY_NAMES
    ]
    assert not faults, "\n".join(faults)


def test_classes_are_nouns_and_functions_verbs() -> None:
    """A class `Judged` or a function `fitted` tells how something came about, and not what it is or does."""
    participle = re.compile(r"_*([A-Z]?[a-z]+(?<!e)ed|[a-z]*(shown|drawn|written|given|taken)|[A-Z][a-z]*(en|wn))_*")
    nouns = {"Token", "Forbidden"}  # the second: the name of HTTP's status 403
    faults = [
        f"{name(path)}:{node.lineno} {node.name}"
        for path, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and participle.fullmatch(node.name)
        and node.name not in nouns
        and not {"property", "cached_property"} & {ast.unparse(word).split("(")[0] for word in node.decorator_list}
    ]
    assert not faults, "\n".join(faults)


def test_nothing_is_left_unfinished_or_swallowed() -> None:
    faults = []
    for path, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler) and all(isinstance(step, ast.Pass) for step in node.body):
                faults.append(f"{name(path)}:{node.lineno} swallows an exception")
            if isinstance(node, ast.Raise) and node.exc and "NotImplementedError" in ast.unparse(node.exc):
                faults.append(f"{name(path)}:{node.lineno} raises NotImplementedError")
    assert not faults, "\n".join(faults)


def test_no_file_names_a_machine_or_a_registry() -> None:
    """What is committed works on any machine: no home folder, no package index, no work mark."""
    suspicious = re.compile(
        r"(?<![\w.])/(?:home|root|Users|mnt)/\w|/work/(?:main|shared)\b"
        r"|https?://\S*/(?:simple|whl)\b"
        r"|\b(?:TO[D]O|FIX[M]E|X{3}|HAC[K])\b"  # work marks, so spelled that the pattern does not find itself
    )
    folders = ("src", "tests", "docs", "benchmarks", "examples", "experiments", ".ci")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    files += [path for path in ROOT.iterdir() if path.is_file()]
    text_files = [p for p in files if p.suffix in {"", ".py", ".md", ".toml", ".txt", ".html", ".ini", ".json", ".csv"}]
    faults = [
        f"{name(path)}:{number}: {line.strip()[:100]}"
        for path in text_files
        if path != Path(__file__)
        and not path.name.startswith((".coverage", ".git"))
        and "__pycache__" not in path.parts
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if suspicious.search(line)
    ]
    assert not faults, "\n".join(faults)


def test_every_pin_is_exact() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert "torch==2.13.0" in pins
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins)


def test_shapes_are_checked_while_tests_run() -> None:
    """The import hook of conftest.py is what makes the annotations of the formulas more than comments."""
    with pytest.raises(TypeCheckError, match="mask"):
        masked_mean(torch.ones(3, 2), torch.ones(2, 3, dtype=torch.bool))


def field_docstrings() -> Iterator[tuple[str, str]]:
    """Where each docstring of a field stands, and the docstring: help texts, mostly."""
    for path, tree in trees().items():
        for owner in ast.walk(tree):
            if isinstance(owner, ast.ClassDef):
                for field, text in pairwise(owner.body):
                    if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                        yield f"{name(path)}:{text.lineno}", ast.literal_eval(text.value)


def test_every_help_text_stands_alone() -> None:
    """It names the thing that it describes, so it begins neither with a pronoun nor in the middle of a sentence."""
    texts = dict(field_docstrings())
    assert len(texts) > 150
    middle = re.compile(r"(It|What|Of|That|Who\w*|Which)\b|[a-z]")
    assert [f"{place} {text}" for place, text in texts.items() if middle.match(text)] == []
