"""A critique: what is good and bad about one item, in words. Training data for critiques and revisions.

The answer is ``{"text": ...}``; the target is that text.
"""

from __future__ import annotations

from plaudit.feedback.kinds._writing import WritingKind


class Critique(WritingKind):
    """One item, judged in words."""

    name = "critique"
    title = "Critique"
    widget = "critique.html"
    wording = "Say what is good about this, and what should be better."
    teaches = "critique"


KIND = Critique()
