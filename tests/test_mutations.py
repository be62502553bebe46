"""The mutants of benchmarks/mutations.py fit the source: each line stands there once, and its tests exist."""

import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_each_mutant_fits_the_source() -> None:
    script = runpy.run_path(str(ROOT / "benchmarks/mutations.py"))
    names = [mutant.name for mutant in script["MUTANTS"]]
    assert len(set(names)) == len(names) >= 20
    for mutant in script["MUTANTS"]:
        source = (ROOT / "src/plaudit" / mutant.file).read_text(encoding="utf-8")
        assert script["mutate"](source, mutant) != source
        assert all((ROOT / "tests" / test).exists() for test in mutant.tests), mutant.name
