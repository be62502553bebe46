"""A demonstration: the person writes the ideal response to a prompt. Ouyang et al. 2022, section 3.1, step 1.

The answer is ``{"text": ...}``. The target is that text, for supervised fine-tuning.
"""

from __future__ import annotations

from plaudit.feedback.kinds._writing import WritingKind


class Demonstration(WritingKind):
    """One item: the prompt, a dialogue that ends before the response."""

    name = "demonstration"
    title = "Demonstration"
    widget = "demonstration.html"
    wording = "Write the response that you would want to get."
    teaches = "response"
    prompts = True


KIND = Demonstration()
