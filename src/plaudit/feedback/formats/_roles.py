"""How other tools spell who speaks."""

from __future__ import annotations

from typing import Literal

Role = Literal["system", "user", "assistant"]
ROLES: dict[str, Role] = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "prompter", "instruction"), "user"),
    **dict.fromkeys(
        ("assistant", "gpt", "model", "bot", "chatgpt", "chatbot", "ai", "bing", "bard", "claude"), "assistant"
    ),
}
TOOLS = (
    *("tool", "function", "observation", "ipython", "environment"),
    *("function_call", "function_response", "tool_call", "tool_response"),
)
