"""A report of one domain does not load the other domain."""

from __future__ import annotations

import subprocess
import sys

import grimp
import pytest

CONTROL = ("plaudit.control", "plaudit.run.control", "plaudit.run.report.control")
LANGUAGE = ("plaudit.language", "plaudit.run.language", "plaudit.run.report.language")
FOREIGN = {
    "plaudit.run.report.control": (*LANGUAGE, "torch", "gymnasium", "transformers"),
    "plaudit.run.report.language": (*CONTROL, "torch", "gymnasium", "transformers"),
    "plaudit.run.report.page": (*CONTROL, *LANGUAGE),
    "plaudit.run.language.evaluate": CONTROL,  # makes the report of a run
    "plaudit.run.control.look": (*LANGUAGE, "transformers"),
}


def belonging(modules: set[str], domains: tuple[str, ...]) -> list[str]:
    return [name for name in modules for domain in domains if name == domain or name.startswith(domain + ".")]


def upstream(graph: grimp.ImportGraph, module: str) -> set[str]:
    """All that is loaded with ``module``: what it imports, the packages that hold this, and what they import."""
    loaded, frontier = set(), {module}
    while frontier:
        name = frontier.pop()
        loaded.add(name)
        package = {name.rpartition(".")[0]} - {""}
        frontier |= (package | graph.find_modules_directly_imported_by(name)) - loaded
    return loaded


def test_a_report_imports_its_own_domain_only() -> None:
    graph = grimp.build_graph(
        "plaudit", include_external_packages=True, exclude_type_checking_imports=True, cache_dir=None
    )
    assert belonging(upstream(graph, "plaudit.cli.train"), CONTROL)  # the walk would see an import
    assert {module: belonging(upstream(graph, module), foreign) for module, foreign in FOREIGN.items()} == {
        module: [] for module in FOREIGN
    }


@pytest.mark.thorough
@pytest.mark.parametrize("module", FOREIGN)
def test_a_report_loads_its_own_domain_only(module: str) -> None:
    """The same in a process, where libraries count that import each other."""
    code = f"import sys, {module}; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert module in modules and belonging(set(modules), FOREIGN[module]) == []
