"""A learner cannot see the true reward: no noun it handles can carry one, and nothing it imports leads to one."""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path

import pytest

import plaudit
from plaudit.feedback.kinds import KINDS
from plaudit.types import Answer, Dialogue, Judgement, Message, PlauditError, Question, Segment, Source, Trajectory

ROOT = Path(plaudit.__file__).parent
LEARNERS = ("plaudit.reward", "plaudit.policy", "plaudit.control.collect", "plaudit.loop", "plaudit.feedback")
FIELDS = {
    Trajectory: "observations actions log_probs values next_values ends mask rollout states",
    Segment: "observations actions states source",
    Source: "rollout row start",
    Message: "role content",
    Dialogue: "messages model",
    Question: "kind items wording guideline round project options",
    Judgement: "question annotator value order shown_at first_input_at submitted_at id rationale supersedes",
    Answer: "value rationale order",
}


def modules() -> dict[str, Path]:
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = ("plaudit", *path.relative_to(ROOT).with_suffix("").parts)
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(name: str, path: Path, known: dict[str, Path]) -> set[str]:
    """The plaudit modules that one module imports, wherever in it the import stands; those for type checkers aside."""
    found: set[str] = set()
    tree = ast.parse(path.read_text())
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for statement in block.body
        for node in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = name if path.name == "__init__.py" else name.rpartition(".")[0]
            for _ in range(node.level - 1):
                package = package.rpartition(".")[0]
            base = node.module or ""
            if node.level:
                base = f"{package}.{base}".rstrip(".")
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return found & known.keys()


@pytest.mark.parametrize("noun", FIELDS, ids=lambda noun: noun.__name__)
def test_no_noun_of_the_loop_can_carry_a_reward(noun):
    assert [each.name for each in dataclasses.fields(noun)] == FIELDS[noun].split()
    assert not any("reward" in each.name or "return" in each.name for each in dataclasses.fields(noun))


@pytest.mark.parametrize("learner", LEARNERS)
def test_nothing_a_learner_imports_leads_to_the_annotators(learner):
    known = modules()
    reached: set[str] = set()
    frontier = {name for name in known if name == learner or name.startswith(f"{learner}.")}
    while frontier:
        reached |= frontier
        frontier = set().union(*(imports(name, known[name], known) for name in frontier)) - reached
    assert not {name for name in reached if name.startswith("plaudit.annotators")}


def test_the_walk_would_see_an_import():
    known = modules()
    name = "plaudit.annotators.biased"
    assert "plaudit.annotators.oracle" in imports(name, known[name], known)


@pytest.mark.parametrize("package", ["reward", "policy", "feedback", "functional"])
def test_learners_do_not_so_much_as_name_the_true_reward(package):
    for path in (ROOT / package).rglob("*.py"):
        named = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
        assert not named & {"TrueReward", "true_reward"}, path


@pytest.mark.parametrize("name", KINDS)
def test_no_kind_lets_a_question_carry_a_reward_among_its_options(name):
    items = next(count for count in (1, 2) if accepts(name, count, {}))
    assert not accepts(name, items, {"reward": 1.0})


def accepts(name: str, items: int, options: dict[str, float]) -> bool:
    try:
        KINDS[name].check(Question(name, tuple("ab"[:items]), "Which?", options=options))
    except PlauditError:
        return False
    return True
