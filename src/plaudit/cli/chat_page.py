"""`plaudit chat --browser`: the page on a run's models, on this machine."""

from __future__ import annotations

import threading
import webbrowser
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from rich.markup import escape

from plaudit import layout
from plaudit.api.collecting import has_screen
from plaudit.api.console import console, say
from plaudit.api.reward import load_reward
from plaudit.cli.sources import is_run, model_of
from plaudit.language.heads import HEADS
from plaudit.language.sampling import SamplingConfig
from plaudit.language.speaker import Reply, Speaker
from plaudit.language.template import TemplateConfig, parse_variables, set_variables
from plaudit.run.language.tune.config import TuningConfig
from plaudit.run.language.tune.methods import METHODS
from plaudit.run.record import kind_of
from plaudit.run.stored import CHAT, PRETRAIN
from plaudit.server.chat.app import Local, Services, create_chat_app
from plaudit.server.chat.models import ChatModel, Models, Response, Sampling, Score, Worker
from plaudit.server.serve import listen, serve_app
from plaudit.types import Message, PlauditError, printable

Device = Literal["auto", "cpu", "cuda"]
TRAINED, BEFORE, BASE = "Trained", "Before RL", "Base model"  # names of models on the page


@dataclass(frozen=True)
class Request:
    """What to talk to, and where."""

    model: str
    before: bool
    device: Device
    port: int
    template: TemplateConfig = field(default_factory=TemplateConfig)  # variables for the models' chat templates
    trust: bool = False  # run Python code that a model's author put next to the weights

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise PlauditError(f"--port must be in 0..65535, got {self.port}")


@dataclass(frozen=True)
class PageModel:
    """A model as the page asks it."""

    name: str
    speaker: Speaker

    def write(self, conversation: Sequence[Message], sampling: Sampling) -> Generator[str | Response]:
        """As :class:`ChatModel`."""
        config = SamplingConfig(sampling.tokens, sampling.temperature)
        opening = int(conversation[0].role == "system")
        generator = self.speaker.generator(sampling.seed)
        for value in self.speaker.write(conversation, config, generator, opening):
            yield Response(**vars(value)) if isinstance(value, Reply) else value


def serve(request: Request, sampling: SamplingConfig, system: str | None, stop: threading.Event | None = None) -> None:
    """Serve the page until Ctrl-C, or until ``stop`` is set.

    Raises:
        PlauditError: the port is taken; as :func:`model_of`; a model cannot be loaded.
    """
    with listen("127.0.0.1", request.port, "") as listener:
        models = load_models(request, sampling, system)
        address, worker = Local.create(listener.getsockname()[1]), Worker()

        def on_ready() -> None:
            print(f"talk at {address.link}", flush=True)
            say("Ctrl-C ends the conversation; nothing of it is stored")
            if has_screen():
                threading.Thread(target=webbrowser.open, args=(address.link,), daemon=True).start()

        try:
            app = create_chat_app(Services(address, models, worker))
            serve_app(app, listener, on_ready, worker.stop, stop)
        finally:
            worker.close()


def load_models(request: Request, sampling: SamplingConfig, system: str | None) -> Models:
    """The model, the one that it started from, and the run's reward model, where there are such.

    Raises:
        PlauditError: as :func:`serve`.
    """
    folder = Path(request.model)
    source = model_of(request.model, request.before)
    kind = kind_of(folder) if is_run(folder) else None
    title = folder.resolve().name if folder.exists() else request.model
    name = title if kind in (None, PRETRAIN) else BEFORE if request.before else TRAINED
    models: list[ChatModel] = [_load(name, source, request, config=request.template)]
    speakers = [model.speaker for model in models if isinstance(model, PageModel)]
    if kind not in (None, PRETRAIN) and not request.before:
        models += _load_start(folder, str(kind), request)
    score = _load_score(folder, request) if kind == CHAT else None
    window = min(speaker.window for speaker in speakers)
    return Models(title, models, score, window, sampling.tokens, sampling.temperature, system or "")


def _load(
    name: str, source: str, request: Request, template: str = "own", config: TemplateConfig | None = None
) -> PageModel:
    with console.status(escape(printable(f"loading {source}"))):
        return PageModel(name, Speaker(source, request.device, template, config, request.trust))


def _load_start(folder: Path, kind: str, request: Request) -> list[PageModel]:
    """The model that the run's model started from; [] if it is not on this machine any more, which is said."""
    if kind == CHAT:
        fine_tuned = folder / layout.SFT
        return [_load(BEFORE, str(fine_tuned), request, config=request.template)] if fine_tuned.is_dir() else []
    try:
        config = METHODS[kind].open(folder).config
        return [_load(BASE, config.model.model, request, config.template, _override(config, request.template))]
    except (PlauditError, LookupError, TypeError) as error:
        say(f"there is no comparison with the base model: {error}")
        return []


def _override(config: TuningConfig, template: TemplateConfig) -> TemplateConfig:
    """The chat template that a run has pinned, in which the variables of the command stand before the run's."""
    pins = config.chat_template
    if not template.kwargs:
        return pins
    if pins.text is None:
        return replace(pins, kwargs=template.kwargs)
    return replace(pins, text=set_variables(pins.text, parse_variables(template.kwargs)))


def _load_score(folder: Path, request: Request) -> Score | None:
    """The score of a run's reward model; None if the run has none yet."""
    if not (folder / layout.REWARD / f"{HEADS}.json").exists():
        return None
    with console.status(escape(printable(f"loading {folder / layout.REWARD}"))):
        reward = load_reward(
            folder, device=request.device, template_kwargs=request.template.kwargs, trust_remote_code=request.trust
        )

    def score(conversation: Sequence[Message], text: str) -> float:
        prompt = [{"role": message.role, "content": message.content} for message in conversation]
        return float(reward.score([prompt], [text])[0])

    return score
