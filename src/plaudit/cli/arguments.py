"""Shared by the commands: the reading of arguments, with errors in one line."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import io
import itertools
import json
import re
import shutil
import textwrap
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import tyro
from tyro.constructors import ConstructorRegistry, StructConstructorSpec, StructFieldSpec, StructTypeInfo

from plaudit.api.flags import SYNONYMS
from plaudit.run.disk import disk_errors
from plaudit.types import PlauditError

Config = TypeVar("Config")
PHRASES = (  # of tyro, and what the program says instead
    (r"Error parsing ([^\s/:]+)\S*: invalid literal for int\(\) with base 10: ", r"\1 must be a whole number, got "),
    (r"Error parsing ([^\s/:]+)\S*: could not convert string to float: (.*)", r"\1 must be a number, got \2"),
    (r"(?:Missing from plaudit .+?: |(?<=\) ))(-\S+ )?([A-Z]+) (.+?)\.? \(required\)", r"\1\2 is missing (\3),"),
    (r"Missing value for argument '([^\s/']+)\S*'\. Expected \d+ values?", r"\1 needs a value"),
)
LARGEST_PORT = 65535
RULE = re.compile(r"[│\s]*([╭╰─]|-{8})")  # the edge of a box, or a line across it


@dataclass(frozen=True)
class RunArguments:
    """A command on an existing run."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder."""
    trust: bool = False
    """Trust the addresses, programs and files outside of the run folder that its settings name, although somebody
    else made the run."""


@dataclass(frozen=True)
class Settings(Generic[Config]):
    """The settings of a run, without a prefix on the command line; a subclass adds a command's own arguments."""

    config: Annotated[Config, tyro.conf.arg(name="")]


@dataclass(frozen=True)
class Tracking:
    """The argument of every command that trains in a run folder."""

    track: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Tracker that also gets the run's metrics: tensorboard, wandb, trackio or mlflow; none: no tracker."""


@dataclass(frozen=True)
class Common:
    """The settings that a command's --help shows (--help-all shows every one), and short names for their flags.

    ``flags`` has the path of a field, such as feedback.labels, and its short flag, or None if it has only its own.
    ``files`` is the path of a field that is given without a flag, ``rare`` has short flags that only --help-all shows,
    and ``former`` the flags of earlier versions with those that replace them: they work, and no help shows them.
    """

    flags: Mapping[str, str | None]
    files: str | None = None
    former: Mapping[str, str] = field(default_factory=dict)
    rare: Mapping[str, str] = field(default_factory=dict)

    def registry(self, default: Any, brief: bool) -> ConstructorRegistry:
        """Rules by which tyro names the fields of ``default``; ``brief`` hides those that are not common."""
        registry, delegating = ConstructorRegistry(), False
        paths: dict[tuple[type[Any], str], str] = {}
        for owner, path in _paths(default):
            paths.setdefault(owner, path)

        @registry.struct_rule
        def rule(info: StructTypeInfo) -> StructConstructorSpec | None:
            nonlocal delegating
            if delegating or not dataclasses.is_dataclass(info.type):
                return None
            delegating = True
            try:
                spec = ConstructorRegistry.get_struct_spec(info)  # by tyro's own rule for dataclasses
            finally:
                delegating = False
            if not isinstance(spec, StructConstructorSpec):
                return None
            fields = tuple(
                self._annotate(field, paths[info.type, field.name], brief)
                if (info.type, field.name) in paths
                else field
                for field in spec.fields
            )
            return dataclasses.replace(spec, fields=fields)

        return registry

    def replace_former(self, argument: str) -> str:
        """The argument, or if it is a flag of an earlier version, with or without =VALUE, the flag of today."""
        flag, equals, value = argument.partition("=")
        return f"{self.former.get(flag, flag)}{equals}{value}"

    def _annotate(self, setting: StructFieldSpec, path: str, brief: bool) -> StructFieldSpec:
        """The field with its short flag; hidden if the help is brief and the field is not common."""
        annotated: Any = setting.type
        flag = self.flags.get(path)
        aliases = [name for name in (flag, self.rare.get(path)) if name is not None]
        if path == self.files:
            annotated = Annotated[annotated, tyro.conf.Positional, tyro.conf.arg(metavar="FILES")]
        elif path in self.flags and brief:
            annotated = _without_none(annotated, setting.default)
            names = {"name": flag.removeprefix("--"), "prefix_name": False} if flag else {}
            annotated = Annotated[annotated, tyro.conf.FlagCreatePairsOff, tyro.conf.arg(**names)]
        elif path in self.rare and brief:
            annotated = Annotated[annotated, tyro.conf.Suppress]
        elif aliases:
            annotated = Annotated[annotated, tyro.conf.arg(aliases=aliases)]
        elif brief and not any(common.startswith(f"{path}.") for common in self.flags):
            annotated = Annotated[annotated, tyro.conf.Suppress]
        return dataclasses.replace(setting, type=annotated)


def _paths(settings: Any, prefix: str = "") -> Iterator[tuple[tuple[type[Any], str], str]]:
    """Every field in settings, as its class and name, with its path on the command line."""
    for name in (setting.name for setting in dataclasses.fields(settings)):
        value = getattr(settings, name)
        if isinstance(settings, Settings) and name == "config":
            yield from _paths(value)
            continue
        path = prefix + name
        yield (type(settings), name), path
        if dataclasses.is_dataclass(value):
            yield from _paths(value, f"{path}.")


def _without_none(annotated: Any, default: Any) -> Any:
    """A type that may be None, as help shows it: `INT` in place of `{None}|INT`, and no default if that is None."""
    kinds = [kind for kind in typing.get_args(annotated) if kind is not type(None)]
    if default is not None or len(kinds) != 1:
        return annotated
    choices = typing.get_args(kinds[0])  # of a Literal
    metavar = f"{{{','.join(map(str, choices))}}}" if choices else kinds[0].__name__.upper()
    return Annotated[annotated, tyro.conf.arg(metavar=metavar, help_behavior_hint="")]


def wrap(text: str) -> str:
    """Text in lines that the terminal has room for; indented lines, which are commands, stay whole."""
    width = min(shutil.get_terminal_size().columns, 100)
    paragraphs = itertools.groupby(text.splitlines(), lambda line: bool(line) and not line.startswith(" "))
    return "\n".join(
        "\n".join(textwrap.wrap(" ".join(lines), width)) if prose else "\n".join(lines) for prose, lines in paragraphs
    )


def parse(
    cls: type[Any],
    arguments: Sequence[str],
    name: str,
    description: str,
    default: Any = None,
    common: Common | None = None,
) -> Any:
    """tyro with our name; what tyro or a dataclass refuses becomes one line.

    common: the settings that --help shows; needs a ``default``. Without it --help shows every setting.
    """
    options: dict[str, Any] = {} if default is None else {"default": default}
    brief = not {"-h", "--help"}.isdisjoint(arguments)
    if common is not None:
        options["registry"] = common.registry(default, brief)
        arguments = [
            "--help" if argument == "--help-all" else common.replace_former(argument) for argument in arguments
        ]
        description = f"{description}\n\nplaudit {name} --help-all shows every setting." if brief else description
    if "--help" in arguments or brief:  # tyro would join the lines of the description, and would not wrap them
        print(f"{wrap(description)}\n")
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            parsed = tyro.cli(cls, prog=f"plaudit {name}", description="", args=arguments, **options)
        port = getattr(parsed, "port", 0)
        if not 0 <= port <= LARGEST_PORT:  # before a run's folder is made
            raise PlauditError(f"--port must be in 0..{LARGEST_PORT}, got {port}")
        return parsed
    except ValueError as error:
        raise PlauditError(str(error)) from error
    except SystemExit as stop:
        if not stop.code:  # --help
            raise
        line = _problem(errors.getvalue())
        if "Unrecognized options" in line:
            line = _suggest(line, _flags(cls, default, common))
        raise PlauditError(f"{line}{' See' if line.endswith('?') else '; see'} plaudit {name} --help") from stop


def _problem(text: str) -> str:
    """The complaint of tyro in one line: it prints a box around it, or rules of dashes where there is only ASCII."""
    lines = itertools.dropwhile(lambda line: not RULE.match(line), text.splitlines())
    problem = itertools.takewhile(lambda line: not RULE.match(line), itertools.islice(lines, 1, None))
    line = " ".join(line.strip("│ ") for line in problem).rstrip(".") or text
    for pattern, phrase in PHRASES:
        line = re.sub(pattern, phrase, line)
    return line.removesuffix(",")


def _flags(cls: type[Any], default: Any, common: Common | None) -> list[tuple[str, str]]:
    """The flags of a command, each with a name that a user may guess: its own, or the last word of its path."""
    short = {path: flag for path, flag in common.flags.items() if flag is not None} if common is not None else {}
    paths = (
        [path for _, path in _paths(default)]
        if default is not None
        else [setting.name for setting in dataclasses.fields(cls)]
    )
    names = [(flag, flag.removeprefix("--")) for flag in short.values()]
    for path in paths:
        flag = f"--{path.replace('_', '-')}"
        names.append((short.get(path, flag), flag.removeprefix("--").rpartition(".")[2]))
    return names


def _suggest(message: str, flags: Sequence[tuple[str, str]]) -> str:
    """tyro's message on options that do not exist, with the flags that may be meant."""
    words = message.split(": ", 1)[1].split(", ")
    option = next((word for word in words if word.startswith("-") or "=" in word), "")
    if not option:
        return message
    name = option.lstrip("-").partition("=")[0].replace("_", "-").casefold()
    if name in ("algo", "algorithm") and any(flag == "--baseline" for flag, _ in flags):  # plaudit train ENV
        return f"unknown option {option}: did you mean --ppo or --a2c?"
    name = SYNONYMS.get(name, name)
    nearest = difflib.get_close_matches(name, [guess for _, guess in flags], n=1, cutoff=0.6)
    candidates = list(dict.fromkeys(flag for flag, guess in flags if guess in nearest))
    candidates = [flag for flag in candidates if "." not in flag] or candidates[:3]
    if candidates:
        return f"unknown option {option}: did you mean {' or '.join(candidates)}?"
    return f"unknown option {option}"


def config_file(arguments: list[str]) -> tuple[Path, dict[str, Any]] | None:
    """Take ``--config FILE`` out of ``arguments``: its path and settings; None if the option is not given."""
    if "--config" not in arguments:
        return None
    index = arguments.index("--config")
    if index + 1 >= len(arguments):
        raise PlauditError("--config needs a file: the config.json of a run")
    path = Path(arguments[index + 1])
    del arguments[index : index + 2]
    with disk_errors(path):
        text = path.read_bytes()
    try:
        stored = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PlauditError(f"{path} is not JSON: {error}") from error
    if not isinstance(stored, dict):
        raise PlauditError(f"{path} holds no settings: give the config.json of a run")
    return path, stored


def changed_fields(config: Any, changed: Any) -> list[str]:
    """The names of the fields in which two values of one dataclass differ."""
    names = [setting.name for setting in dataclasses.fields(config)]
    return [name for name in names if getattr(config, name) != getattr(changed, name)]
