"""A correction: the person edits a response until it is right.

The answer is ``{"text": ...}``, the whole response as it should be. The target is that text, to imitate, and to prefer
to what it corrects.
"""

from __future__ import annotations

from plaudit.feedback.kinds._writing import WritingKind


class Correction(WritingKind):
    """One item: a dialogue that ends with the response to correct."""

    name = "correction"
    title = "Correction"
    widget = "correction.html"
    wording = "Edit the response until you would be content with it. Leave it as it is where nothing is wrong."
    teaches = "response"


KIND = Correction()
