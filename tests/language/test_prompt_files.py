"""Files of prompts and of principles, one a line."""

from pathlib import Path

from plaudit.annotators.ai_judge import principles
from plaudit.language.prompts import load_prompts

LINES = ("Next line\x85and on", "a form\x0cfeed", "U+2028\u2028and U+2029\u2029", "a file\x1cseparator", "the last")


def test_only_the_ends_of_lines_end_a_line(tmp_path: Path):
    """Not the other characters that ``str.splitlines`` cuts at."""
    path = tmp_path / "lines.txt"
    for end in ("\n", "\r\n"):
        path.write_bytes((end + f"{end}{end}".join(LINES) + end).encode())
        stripped = tuple(line.strip() for line in LINES)
        assert tuple(prompt[0].content for prompt in load_prompts(str(path))) == stripped
        assert principles(path) == stripped
