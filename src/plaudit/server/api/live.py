"""Talks with a live model: responses stream to the page, and each judgement on them is stored at once.

The server remembers nothing of a talk. With each response the page gets a proof (a keyed hash over the whole talk up to
it, the person, the question, the model, and when and on which side it came) and sends it back with what it says about
that response, so that a page cannot make up what the model said, nor choose between responses that did not come
together, nor exchange them.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from plaudit.feedback.kinds import kind
from plaudit.server import proofs, talks
from plaudit.server.api.work import Durations, JudgementReceipt, first_receipt, storable
from plaudit.server.assignments import opening
from plaudit.server.endpoint import Endpoint
from plaudit.server.faults import Forbidden, TooManyTries, Upstream, document_faults
from plaudit.server.identity import AppServices, Consented, Person, Services
from plaudit.server.proofs import Proof
from plaudit.server.streaming import HEADERS, end_with_fault, event, merge
from plaudit.server.text import showable, to_html
from plaudit.server.tickets import Ticket, find_leased
from plaudit.types import Dialogue, Judgement, Message, PlauditError, Question

router = APIRouter(prefix="/live", tags=["live"])

MESSAGE = 20_000  # characters that a person may say at once
TALK = 200_000  # characters of a whole talk
MessageText = Annotated[str, Field(min_length=1, max_length=MESSAGE)]
QuestionId = Annotated[str, Field(max_length=64)]


class TalkTurn(BaseModel):
    """One turn of the talk, after what the question begins with."""

    role: Literal["user", "assistant"]
    content: str = Field(max_length=TALK)


class TurnBody(BaseModel):
    """Say something; ``proof`` came with the last response in ``turns``, and is left out if there are no turns."""

    question: QuestionId
    lease: str = Field(max_length=300)
    turns: list[TalkTurn] = Field([], max_length=200)
    proof: str = Field("", max_length=64)
    say: MessageText
    samples: int | None = Field(None, ge=1, le=2)  # as the kind has it


class ProvenResponse(BaseModel):
    """A response, and the proof that came with it."""

    text: str = Field(max_length=TALK)
    proof: str = Field(max_length=64)


class JudgeBody(BaseModel):
    """A judgement on one response, or two, to ``say`` after ``turns``; ``judgement`` is the page's UUID."""

    judgement: UUID
    question: QuestionId
    lease: str = Field(max_length=300)
    turns: list[TalkTurn] = Field([], max_length=200)
    say: MessageText
    responses: list[ProvenResponse] = Field(min_length=1, max_length=2)
    value: dict[str, Any]
    elapsed: Durations = Durations()


@dataclass(frozen=True)
class Part:
    """The kind and options of a judgement within a talk, and the model that it judges."""

    kind: str
    options: Mapping[str, Any]
    model: str


class ReceiptOut(BaseModel):
    """The judgement is on disk."""

    receipt: JudgementReceipt


@router.post(
    "/turn",
    response_class=StreamingResponse,
    responses={
        **document_faults(401, 404, 409, 502),
        200: {
            "description": "Server-sent events: `piece` {side, text}, `response` {side, text, html, proof}, "
            "`fault` {side, detail}, `same` {} if both responses are equal, `end` {}",
            "content": {"text/event-stream": {}},
        },
    },
)
async def turn(body: TurnBody, person: Consented, services: AppServices) -> StreamingResponse:
    """One response of the model, or two to choose from, as they are written."""
    question, begin = await run_in_threadpool(_at_work, services, person, body)
    endpoint = _endpoint(services)
    model = await endpoint.model()
    turns = _pairs(body.turns)
    if turns and proofs.read(services.secret, body.proof, *_talk(person, question, model, turns)) is None:
        raise Forbidden("this conversation is not the one that the model was in: begin it again")
    storable([*turns, body.say])
    if sum(len(text) for _, text in turns) + len(body.say) > TALK:
        raise PlauditError("this conversation has become too long: end it, and begin another")
    dialogue = [*turns, ("user", body.say)]
    messages = [*begin, *(Message(role, text) for role, text in dialogue)]

    services.meter.check_turns(person.name)
    call = proofs.new_call(services.clock())

    def proof(side: int, response: str) -> str:
        talk = _talk(person, question, model, [*dialogue, ("assistant", response)])
        return Proof(call, side).write(services.secret, *talk)

    events = _events(endpoint, messages, kind(question.kind).samples, proof)
    events = end_with_fault(_hold_turn(services, person, events), kind(question.kind).samples)
    return StreamingResponse(events, media_type="text/event-stream", headers=HEADERS)


async def _hold_turn(services: Services, person: Person, events: AsyncGenerator[str]) -> AsyncGenerator[str]:
    """The events, counted as a turn of the person's until they end; a fault instead if there are too many."""
    try:
        with services.meter.hold_turn(person.name):
            async with aclosing(events):
                async for text in events:
                    yield text
    except TooManyTries as error:
        yield event("fault", side=0, detail=str(error))
        yield event("end")


def _at_work(services: Services, person: Person, body: TurnBody) -> tuple[Question, tuple[Message, ...]]:
    """The question, if its talk may continue by a turn, and the messages that begin it."""
    question, _ = _question(services, person, body.question, body.lease)
    services.projects.for_work(question.project, person.role)  # a closed one asks the model nothing
    talk = kind(question.kind)
    if body.samples not in (None, talk.samples):
        raise PlauditError(f"a turn of a {question.kind} has {talk.samples} responses: leave samples out")
    if talk.in_turns and len(body.turns) >= 2 * talk.most_parts:
        raise PlauditError(f"this conversation has had its {talk.most_parts} turns: end it")
    talks.check_open(services, person.name, question)
    return question, _begin(services, question)


def _question(services: Services, person: Person, identity: str, lease: str) -> tuple[Question, Ticket]:
    """The live question that this annotator was given, and its ticket."""
    ticket = Ticket.read(services.secret, person.name, lease)
    question = find_leased(services.store, services.secret, person.name, ticket, identity)
    if not kind(question.kind).live:
        raise PlauditError(f"a {question.kind} question has no live model")
    return question, ticket


def _begin(services: Services, question: Question) -> tuple[Message, ...]:
    item = services.store.items(question.items)[0]
    if not isinstance(item, Dialogue):
        raise PlauditError("this question begins with a clip: a conversation begins with text")
    return opening(item)[0]


def _endpoint(services: Services) -> Endpoint:
    if services.endpoint is None:
        raise Upstream(
            "no model is connected to this server: an admin must name its address (plaudit collect --endpoint URL)"
        )
    return services.endpoint


def _pairs(turns: Sequence[TalkTurn]) -> list[tuple[Literal["user", "assistant"], str]]:
    return [(turn.role, turn.content) for turn in turns]


def _talk(person: Person, question: Question, model: str, turns: Sequence[tuple[str, str]]) -> tuple[Any, ...]:
    """The parts that a proof signs."""
    return person.name, question.id, model, list(turns)


async def _events(
    endpoint: Endpoint, messages: Sequence[Message], samples: int, proof: Callable[[int, str], str]
) -> AsyncGenerator[str]:
    """The events for the page while the model writes ``samples`` responses at the same time."""
    texts = [""] * samples
    failed = False
    streams = [endpoint.stream(messages, secrets.randbelow(2**31)) for _ in range(samples)]
    async with aclosing(merge(streams)) as values:
        async for side, piece in values:
            if isinstance(piece, str):
                texts[side] += showable(piece)
                yield event("piece", side=side, text=showable(piece))
            elif isinstance(piece, Upstream):
                failed = True
                yield event("fault", side=side, detail=str(piece))
            else:
                text = texts[side]
                yield event("response", side=side, text=text, html=to_html(text), proof=proof(side, text))
    if samples == 2 and not failed and texts[0] == texts[1]:
        yield event("same")
    yield event("end")


@router.post("/choose", responses=document_faults(401, 404, 409, 502))
async def choose(body: JudgeBody, person: Consented, services: AppServices) -> ReceiptOut:
    """Compare two responses on the scale of eight: ``value`` is ``{"strength": -4..-1 | 1..4}``."""
    return await _keep(services, person, body, "comparison", {"scale": "eight"})


@router.post("/thumb", responses=document_faults(401, 404, 409, 502))
async def thumb(body: JudgeBody, person: Consented, services: AppServices) -> ReceiptOut:
    """Thumb up or down on one response: ``value`` is ``{"thumb", "tags", "text"}``."""
    return await _keep(services, person, body, "thumbs", {})


@router.post("/regenerate", responses=document_faults(401, 404, 409, 502))
async def regenerate(body: JudgeBody, person: Consented, services: AppServices) -> ReceiptOut:
    """Compare a new response with an earlier one: ``value`` is ``{"choice": "better" | "worse" | "same"}``."""
    return await _keep(services, person, body, "regeneration", {})


@router.post("/side-by-side", responses=document_faults(401, 404, 409, 502))
async def side_by_side(body: JudgeBody, person: Consented, services: AppServices) -> ReceiptOut:
    """Compare a new response with an earlier one: ``value`` is
    ``{"choice": "original" | "new" | "neither" | "skip"}``.
    """
    return await _keep(services, person, body, "side-by-side", {})


async def _keep(
    services: Services, person: Person, body: JudgeBody, name: str, options: Mapping[str, Any]
) -> ReceiptOut:
    """Store a judgement of the kind ``name`` on the responses, each proven to be the model's."""
    model = await _endpoint(services).model()
    return await run_in_threadpool(_record, services, person, body, Part(name, options, model))


def _record(services: Services, person: Person, body: JudgeBody, part: Part) -> ReceiptOut:
    name, options = part.kind, part.options
    talk, ticket = _question(services, person, body.question, body.lease)
    _check_kind(talk, name)
    talks.check_open(services, person.name, talk, str(body.judgement))
    storable(body.value)
    dialogues = _prove(services, person, talk, body, part.model)
    defaults = kind(name).defaults
    if "tags" in defaults:
        options = {"tags": list(talk.options.get("tags", defaults["tags"]))}
    wording = talk.wording if kind(talk.kind).in_turns else kind(name).wording
    question = Question(
        name, tuple(dialogue.id for dialogue in dialogues), wording, talk.guideline, talk.round, talk.project, options
    )
    now = services.clock()
    shown_at = max(min(now, ticket.claimed_at), now - body.elapsed.shown_ms / 1000)
    judgement = Judgement(
        question=question.id,
        annotator=person.name,
        value=body.value,
        order=tuple(range(len(dialogues))),  # samples of one model, whose order means nothing
        shown_at=shown_at,
        first_input_at=min(max(shown_at, now - body.elapsed.first_input_ms / 1000), now),
        submitted_at=now,
        id=str(body.judgement),
    )
    return ReceiptOut(receipt=first_receipt(services, services.store.record([(question, judgement)], dialogues)[0]))


def _check_kind(talk: Question, name: str) -> None:
    """Refuse a judgement of a kind that the page of this talk does not ask for."""
    kinds = kind(talk.kind).parts_for(talk.options)
    if name not in kinds:
        raise PlauditError(f"this {talk.kind} asks for {' or '.join(sorted(kinds))}, not for {name}")


def _prove(services: Services, person: Person, talk: Question, body: JudgeBody, model: str) -> list[Dialogue]:
    """The talk up to each response, which the model gave: both at once in a conversation, else the earlier one first.

    Raises :class:`Forbidden` for what it did not say here, :class:`PlauditError` for responses in another order.
    """
    begin, turns = _begin(services, talk), _pairs(body.turns)
    dialogues, evidence = [], []
    for response in body.responses:
        exchange = [*turns, ("user", body.say), ("assistant", response.text)]
        proof = proofs.read(services.secret, response.proof, *_talk(person, talk, model, exchange))
        if proof is None:
            raise Forbidden("the model did not say this in this conversation: load the page again")
        evidence.append(proof)
        dialogues.append(Dialogue((*begin, *(Message(role, text) for role, text in exchange)), model))  # type: ignore[arg-type]
    if len({dialogue.id for dialogue in dialogues}) < len(dialogues):
        raise PlauditError("both responses are the same: there is nothing to choose")
    if len(evidence) == 2:
        first, second = evidence
        if kind(talk.kind).in_turns:
            in_order = first.call == second.call and (first.side, second.side) == (0, 1)
        else:
            in_order = first.asked_at <= second.asked_at
        if not in_order:
            raise PlauditError("these responses did not come from the model in this order: load the page again")
    return dialogues
