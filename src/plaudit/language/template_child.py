"""The process in which chat templates run, started as a script by ``template_sandbox.py``: it imports jinja2 alone.

It reads requests as lines of JSON and answers each with one line. A template that asks for more memory than it may have
fails, and one that takes too long ends the process, even within a single call of the interpreter.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import json
import resource
import signal
import sys
import traceback
from collections.abc import Iterator
from typing import Any

import jinja2
import jinja2.ext
import jinja2.meta
import jinja2.nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

CACHED = 16  # compiled templates
WORDS = 300  # characters of an error


class TooLong(Exception):
    """A template writes more than it may."""


class GenerationBlock(jinja2.ext.Extension):
    """``{% generation %}``, by which some templates mark what the assistant writes: the block is written as it is."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Any) -> list[jinja2.nodes.Node]:
        """The nodes of the block."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class Namespace(jinja2.utils.Namespace):
    """jinja's namespace, without names that begin with an underscore."""

    def __setitem__(self, name: str, value: Any) -> None:
        if str(name).startswith("_"):
            raise jinja2.exceptions.SecurityError(f"a namespace cannot hold {name!r}")
        super().__setitem__(name, value)


def to_json(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: Any = False
) -> str:
    """The filter ``tojson``: without the escapes for HTML that jinja's own writes."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def refuse(message: str) -> None:
    """The function ``raise_exception`` of templates."""
    raise jinja2.exceptions.TemplateError(message)


def make_dict(*pairs: Any, **values: Any) -> dict[Any, Any]:
    """The function ``dict`` of templates."""
    return dict(*pairs, **values)


def make_environment() -> ImmutableSandboxedEnvironment:
    """The environment that transformers gives to chat templates."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationBlock, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = to_json
    environment.globals.update(raise_exception=refuse, dict=make_dict, namespace=Namespace)
    return environment


ENVIRONMENT = make_environment()


@functools.lru_cache(CACHED)
def compile_template(text: str) -> jinja2.Template:
    """A template that is ready to run."""
    return ENVIRONMENT.from_string(text)


def find_variables(text: str) -> list[str]:
    """The variables that a template reads; one that it sets before it first reads it is its own."""
    tree = ENVIRONMENT.parse(text)
    first: dict[str, str] = {}
    for name in find_names(tree):
        first.setdefault(name.name, name.ctx)
    return sorted(name for name in jinja2.meta.find_undeclared_variables(tree) if first.get(name) != "store")


def find_names(node: jinja2.nodes.Node) -> Iterator[jinja2.nodes.Name]:
    """The names in a template in the order in which it comes to them: a value is read before its variable is set."""
    if isinstance(node, jinja2.nodes.Name):
        yield node
    children = [node.node, node.target] if isinstance(node, jinja2.nodes.Assign) else node.iter_child_nodes()
    for child in children:
        yield from find_names(child)


def write(
    text: str, messages: list[dict[str, str]], prompted: bool, date: str, special_tokens: dict[str, Any], limit: int
) -> str:
    """A conversation as a template writes it, with at most ``limit`` characters."""
    midnight = datetime.datetime.combine(datetime.date.fromisoformat(date), datetime.time())
    pieces, length = [], 0
    for piece in compile_template(text).generate(
        messages=messages,
        tools=None,
        documents=None,
        add_generation_prompt=prompted,
        strftime_now=midnight.strftime,
        **special_tokens,
    ):
        length += len(piece)
        if length > limit:
            raise TooLong(f"writes over {limit:,} characters for one conversation and was stopped")
        pieces.append(piece)
    return "".join(pieces)


def describe(error: BaseException) -> str:
    """An error of a template in its own words, with the template's line."""
    frames = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == "<template>"]
    line = getattr(error, "lineno", None) or (frames[-1] if frames else None)
    words = " ".join("".join(c if c.isprintable() else " " for c in str(error)).split())
    words = words[:WORDS] + ("..." if len(words) > WORDS else "")
    return words + (f" (line {line} of the template)" if line else "")


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The result of a request, or its fault."""
    try:
        function = {"write": write, "find_variables": find_variables}[request["function"]]
        return {"result": function(**request["arguments"])}
    except TooLong as error:
        return {"excess": str(error)}
    except MemoryError:
        return {"excess": "needs too much memory for one conversation and was stopped"}
    except Exception as error:  # a template is a program by the model's author and may raise anything
        return {"fault": describe(error)}


def main(memory: int) -> None:
    """Answer requests until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the program that asks
    with contextlib.suppress(ValueError, OSError):  # some systems have no such limit
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        signal.alarm(request["seconds"])  # ends this process even if the program that asked is gone
        reply = json.dumps(answer(request))
        signal.alarm(0)
        print(reply, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
