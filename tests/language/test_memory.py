"""Memory that is freed stays with the process, so that the next step need not get it anew."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

STEPS = """
import resource, torch
from plaudit.language.memory import keep_freed
if {kept}:
    assert keep_freed()
def step():
    begun = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [torch.ones(2**20) for _ in range(8)]  # 4 MiB each
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - begun
for _ in range(4):  # what is freed grows together in the first few
    step()
print(step())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told")
def test_a_later_step_touches_no_new_pages() -> None:
    # a threshold that is set stays where it is, until it is set again; by itself it follows what is freed
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072"}
    faults = [
        int(subprocess.check_output([sys.executable, "-c", STEPS.format(kept=kept)], env=environment))
        for kept in (False, True)
    ]
    assert faults[0] > 1000 and faults[1] < 100  # 8,192 pages of 4 KiB
