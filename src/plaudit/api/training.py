"""``plaudit.train`` and ``plaudit.resume``."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args, overload

from plaudit import layout
from plaudit.annotators.own import PROGRAM, check_annotator
from plaudit.api.console import console, free_folder, optional, quiet, resumable
from plaudit.api.control import train_agent, write_agent_report
from plaudit.api.paths import check_path
from plaudit.api.settings import change_settings
from plaudit.control.make import EnvironmentConfig, warn_if_visible
from plaudit.control.observations import one_line
from plaudit.interfaces import Annotator
from plaudit.run.control.assemble import check
from plaudit.run.control.config import Algorithm, Run, defaults
from plaudit.run.record import RunFolder, kind_of
from plaudit.run.stored import CHAT, CONTROL
from plaudit.run.track import check_trackers
from plaudit.types import PlauditError

if TYPE_CHECKING:  # needs the language extra
    from plaudit.run.language.config import ChatRun


@overload
def train(
    environment: Literal["chat"],
    /,
    *,
    annotator: Annotator | str | None = None,
    labels: int | None = None,
    out: str | os.PathLike[str] | None = None,
    track: str | Sequence[str] = (),
    progress: bool = True,
    **settings: Any,
) -> ChatRun: ...


@overload
def train(
    environment: str,
    /,
    *,
    annotator: Annotator | str | None = None,
    labels: int | None = None,
    algorithm: Algorithm | None = None,
    baseline: bool = False,
    out: str | os.PathLike[str] | None = None,
    track: str | Sequence[str] = (),
    progress: bool = True,
    **settings: Any,
) -> Run: ...


def train(
    environment: str = "",
    /,
    *,
    annotator: Annotator | str | None = None,
    labels: int | None = None,
    algorithm: Algorithm | None = None,
    baseline: bool = False,
    out: str | os.PathLike[str] | None = None,
    track: str | Sequence[str] = (),
    progress: bool = True,
    **settings: Any,
) -> Run | ChatRun:
    """Learn a reward from judgements and a policy from the reward, as `plaudit train` does.

    The run is a folder; a program that is stopped continues it by `plaudit.resume`. Training sets torch's number
    of threads and seeds its generator.

    Args:
        environment: a Gymnasium id, such as ``"CartPole-v1"``, one of Plaudit's (``"Duel"``), or one that a module of
            yours registers, as ``"module:MyEnv-v0"``; or ``"chat"``, for a language model.
        annotator: an object with a ``name`` and a method ``judge(question, items)`` that returns a
            `plaudit.Answer`; or a name: ``"oracle"`` (the default for environments), ``"people"`` (prints the
            link to the web app), ``"rule:explanation"`` (the default for ``"chat"``), ``"module:factory"``, ...
        labels: number of questions to ask over the whole run; short for ``feedback={"labels": ...}``.
        algorithm: ``"ppo"`` or ``"a2c"``; None: the better one for the environment.
        baseline: also train on the true reward, in another process, for the report.
        out: the run's folder; None: ``runs/`` and the environment's name, with a number if that folder exists.
        track: tracker that also gets the run's metrics, or several: ``"tensorboard"``, ``"wandb"``, ``"trackio"``,
            ``"mlflow"``. The run remembers them.
        progress: show progress on standard error.
        settings: any setting of `plaudit.run.control.config.RunConfig`, or of
            `plaudit.run.language.config.ChatConfig` for ``"chat"``: ``steps=500_000``, ``seed=1``,
            ``reward={"members": 5}``. A group of settings is a mapping or a config object.

    Returns:
        The finished run: its ``folder``, ``config`` and ``metrics()`` (a dict for each round). ``report.html`` stands
        in the folder.

    Raises:
        PlauditError: an unknown environment, annotator or setting, or a value that is not possible; the folder holds a
            run already. Nothing has been written then.
    """
    _check_names(environment, algorithm, settings)
    name, instance = _annotator(annotator)
    trackers, folder = _trackers(track), None if out is None else check_path(out, "out")
    common: dict[str, Any] = {} if name is None else {"annotator": name}
    if labels is not None:
        common["feedback"] = {"labels": labels}
    if environment == CHAT:
        if algorithm is not None or baseline:
            raise PlauditError(
                "algorithm and baseline are for environments; with \"chat\" write improve={'advantage': ...}"
            )
        chat = optional("plaudit.api.language", "language")
        run = chat.create_run([settings, common], instance, folder or free_folder("chat"), PARAMETERS)
    else:
        base = defaults(environment, algorithm, _imports(settings))
        imports = {"environment": {"imports": base.environment.imports}}  # those of MODULE:ID among them
        config = change_settings(base, [settings, common, imports], CONTROL, PARAMETERS)
        check(config, instance)
        warn_if_visible(config.environment)
        run = Run.create(folder or free_folder(config.environment.short_name), config)
        if baseline:
            Run.create(run.folder / layout.BASELINE, config)
    return _continue(run, instance, progress, trackers)


def resume(
    run: RunFolder[Any] | str | os.PathLike[str],
    /,
    *,
    annotator: Annotator | None = None,
    track: str | Sequence[str] = (),
    progress: bool = True,
    trust: bool = False,
) -> Run | ChatRun:
    """Continue a run that was stopped or killed, as `plaudit resume` does; a finished run is only reported on again.

    Args:
        run: the run's folder, or the run that `plaudit.train` returned.
        annotator: the annotator, if it was an object; otherwise the run's settings name it.
        track: trackers in addition to those that the run remembers; ``"none"``: no tracker this time.
        progress: show progress on standard error.
        trust: use the addresses, programs and files outside of the folder that the settings of somebody else's run
            name.

    Returns:
        The finished run.

    Raises:
        PlauditError: the folder holds no run, or a damaged one, or one of another kind; another process trains in it;
            the annotator is missing, or another one than the run's; somebody else made the run, and its settings name
            things outside of the folder, which the message lists.
    """
    folder = run.folder if isinstance(run, RunFolder) else check_path(run, "run")
    kind = kind_of(folder)
    if kind not in (CONTROL, CHAT):
        raise PlauditError(
            f"{folder} holds a run of {kind}: continue it by `plaudit resume {layout.shell_path(folder)}`"
        )
    opened = (
        Run.open(folder)
        if kind == CONTROL
        else optional("plaudit.run.language.config", "language").ChatRun.open(folder)
    )
    name, instance = _annotator(annotator)
    if name is not None and name != opened.config.annotator:
        raise PlauditError(
            f"{folder} is judged by {opened.config.annotator!r}, not by {name!r}: leave out annotator, or start a new "
            "run"
        )
    opened.check_trust(trust)
    return _continue(opened, instance, progress, _trackers(track))


def _continue(run: Any, annotator: Annotator | None, progress: bool, trackers: Sequence[str]) -> Any:
    terminal = console if progress else quiet
    with resumable(run.folder):
        if run.kind == CHAT:
            optional("plaudit.api.language", "language").train_language(run, annotator, terminal, trackers=trackers)
        else:
            train_agent(run, annotator, terminal, trackers=trackers)
            write_agent_report(run, terminal)
    return run


def _annotator(annotator: Annotator | str | None) -> tuple[str | None, Annotator | None]:
    """The name that the settings store, and the object; None for what is not given."""
    if annotator is None or isinstance(annotator, str):
        return annotator, None
    instance = check_annotator(annotator)
    return PROGRAM + instance.name, instance


def _check_names(environment: object, algorithm: str | None, settings: Mapping[str, Any]) -> None:
    if environment == "":
        names = [settings[name] for name in ("env", "environment", "env_id", "env_name") if name in settings]
        example = names[0] if names and isinstance(names[0], str) else "CartPole-v1"
        raise PlauditError(
            f'the environment comes first, without a keyword: plaudit.train({example!r}, ...), or "chat" for a '
            "language model"
        )
    if not isinstance(environment, str):
        spec = getattr(environment, "spec", None)
        example = repr(spec.id) if spec is not None else "'MyEnv-v0'"
        first = "" if spec is not None else "gymnasium.register('MyEnv-v0', MyEnv), then "
        raise PlauditError(
            "environment must be a Gymnasium id such as 'CartPole-v1', or 'chat', got "
            f"{one_line(environment)}: a run makes its environments itself, so write {first}"
            f"plaudit.train({example}, ...)"
        )
    if algorithm is not None and algorithm not in get_args(Algorithm):
        nearest = [name for name in get_args(Algorithm) if name == str(algorithm).lower()]
        hint = f"did you mean {nearest[0]!r}? It" if nearest else "algorithm"
        raise PlauditError(f"{hint} must be one of {', '.join(get_args(Algorithm))}, got {algorithm!r}")


def _imports(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The modules that ``environment={"imports": ...}`` names, or an EnvironmentConfig."""
    environment = settings.get("environment", {})
    if isinstance(environment, EnvironmentConfig):
        return environment.imports
    return _texts(environment.get("imports", ()) if isinstance(environment, Mapping) else (), "environment.imports")


def _trackers(track: str | Sequence[str]) -> tuple[str, ...]:
    return check_trackers(_texts(track, "track"))


def _texts(value: object, parameter: str) -> tuple[str, ...]:
    """One text or several, as a tuple."""
    texts = (value,) if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise PlauditError(f"{parameter} must be a text or a list of texts, got {value!r}")
    return tuple(texts)


PARAMETERS = tuple(name for name in inspect.signature(train).parameters if name not in ("environment", "settings"))
