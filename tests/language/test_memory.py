"""Freed memory stays with the process, so that the next step need not get it from the system again."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

STEPS = """
import resource, torch
from plaudit.language.memory import keep_freed
def step():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [torch.ones(2**20) for _ in range(8)]  # 4 MiB each
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
def fifth():  # freed blocks are merged in the first few steps
    return [step() for _ in range(5)][-1]
print(fifth())
assert keep_freed()
print(fifth())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="keep_freed sets glibc's allocator only")
def test_a_later_step_touches_no_new_pages() -> None:
    # a threshold that is set stays until it is set again; glibc adapts an unset one to what is freed
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072"}
    before, after = map(int, subprocess.check_output([sys.executable, "-c", STEPS], env=environment).split())
    assert before > 1000 and after < 100  # 8,192 pages of 4 KiB
