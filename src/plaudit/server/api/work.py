"""Judging: claim questions, answer them, take an answer back. The annotator is the user who is signed in."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal
from uuid import UUID

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field, JsonValue

from plaudit.feedback import drafts, history, talks
from plaudit.feedback.kinds import kind
from plaudit.feedback.store import Claim, Conflict, Receipt, StoreFault
from plaudit.server import assignments
from plaudit.server.assignments import Assignment
from plaudit.server.faults import Forbidden, NotFound, document_faults
from plaudit.server.history import Entry, Progress, count_progress, list_entries, own_judgement
from plaudit.server.identity import AppServices, Consented, Person, Services
from plaudit.server.keyed_ids import STORED_ID, earlier_order, find_question, order_of
from plaudit.server.talks import check as check_talk
from plaudit.server.tickets import Ticket, find_leased
from plaudit.types import Judgement, PlauditError, Question

router = APIRouter(prefix="/work", tags=["work"])

DRAFT = 400_000  # characters of JSON: an essay and what stands around it
LATE = 7 * 86400.0  # seconds: a page that says it was open for longer has a broken clock
Project = Annotated[str, Field(min_length=1, max_length=200)]
Tokens = Annotated[list[Annotated[str, Field(max_length=300)]], Field(max_length=20)]


class ClaimBody(BaseModel):
    """The next questions for a page; ``held`` are the leases that it already has."""

    project: Project
    count: int = Field(1, ge=1, le=3)
    held_tickets: Tokens = Field([], alias="held")


class Durations(BaseModel):
    """Durations by the page's monotonic clock, in milliseconds: since the question was shown, and first touched."""

    shown_ms: float = Field(default=0, ge=0, le=LATE * 1000, allow_inf_nan=False)
    first_input_ms: float = Field(default=0, ge=0, le=LATE * 1000, allow_inf_nan=False)


class AnswerBody(BaseModel):
    """One judgement. ``judgement`` is a UUID that the page makes: sending the same again is one event."""

    judgement: UUID
    question: str = Field(max_length=64)
    value: dict[str, Any]
    rationale: str | None = Field(None, max_length=20_000)
    supersedes: str | None = Field(None, max_length=64)
    elapsed: Durations = Durations()
    lease: str | None = Field(None, max_length=300)  # may be left out where it supersedes one's own
    next: ClaimBody | None = None


class JudgementReceipt(BaseModel):
    """The status of a judgement: both mean that it is on disk."""

    id: str
    status: Literal["accepted", "surplus"]


class AnswerOut(BaseModel):
    """The receipt, and the next questions."""

    receipt: JudgementReceipt
    next: list[Assignment]


class LeaseBody(BaseModel):
    """A lease, or several."""

    lease: str | None = Field(None, max_length=300)
    leases: Tokens = []

    def all(self) -> list[str]:
        """Those that were named, once each."""
        return list(dict.fromkeys(([] if self.lease is None else [self.lease]) + self.leases))


class RenewalOut(BaseModel):
    """A lease after a request to renew it: ``renewed`` is its new name, None if it is lost."""

    lease: str
    renewed: str | None
    expires_at: float | None


class DraftBody(BaseModel):
    """A draft: what was typed so far, in the page's own form; null deletes it."""

    question: str = Field(max_length=64)
    body: JsonValue  # refused where it is nested too deep to be sent back


class UndoBody(BaseModel):
    """Withdraw one's own judgement; ``id`` is a UUID for the withdrawal."""

    judgement: str = Field(max_length=64)
    id: UUID


class UndoOut(BaseModel):
    """The question again; its lease is None if another annotator has it now."""

    receipt: JudgementReceipt
    assignment: Assignment


class ReopenOut(BaseModel):
    """A judgement of one's own, with its question, for an edit."""

    judgement: str
    value: dict[str, Any]
    rationale: str | None
    assignment: Assignment


@router.post("/claim", responses=document_faults(401, 404, 409))
async def claim(body: ClaimBody, person: Consented, services: AppServices) -> list[Assignment]:
    """Up to three questions of a project, reserved; [] when nothing waits for you."""
    return await run_sync(_claim, services, person, body, limiter=services.judging)


def _claim(services: Services, person: Person, body: ClaimBody) -> list[Assignment]:
    services.projects.for_work(body.project, person.role)
    questions = assignments.claim(services, person.name, body.project, body.count, body.held_tickets)
    if not questions:  # after an answer this must not fail, because the answer is stored
        assignments.check_leases(services, person.name, body.project)
    return questions


@router.post("/answer", response_model=AnswerOut, responses=document_faults(401, 404, 409))
async def answer(body: AnswerBody, person: Consented, services: AppServices) -> Response:
    """Store a judgement, on disk when this returns, and claim the next question.

    The same judgement with the same contents again gets the same receipt; with others, 409. After the lease has ended
    an answer is still kept; where others settled the question meanwhile it counts as surplus.
    """
    text = await run_sync(_answer, services, person, body, limiter=services.judging)
    return Response(text, media_type="application/json")  # returned as a model, FastAPI would check it once more


def _answer(services: Services, person: Person, body: AnswerBody) -> str:
    question, ticket, order = _read_question(services, person, body)
    judgement = _judgement(services, person, body, question, ticket, order)
    _check_surplus(services, person, question, body)
    parts = []
    if kind(question.kind).live:
        check_talk(services, person.name, question, body.value)
        parts = talks.follow(services.store, judgement)
    claims = _next_claims(services, person, body.next)
    seconds = services.projects.lease_seconds(question.project)
    tokens = [] if ticket is None else [ticket.token]
    receipts, leases = services.store.turn([judgement, *parts], tokens, claims or [], seconds, services.clock())
    if receipts[0].status == "surplus":
        services.meter.count_surplus(person.name)
    if receipts[0].status != "duplicate" and body.supersedes is None:
        services.projects.after_answer(person.name, question)
    coming = assignments.dress(services, person.name, assignments.mix(leases), question.id)
    if not leases and claims and body.next is not None:
        coming = assignments.claim(services, person.name, body.next.project, body.next.count, body.next.held_tickets)
    return AnswerOut(receipt=first_receipt(services, receipts[0]), next=coming).model_dump_json()


def _check_surplus(services: Services, person: Person, question: Question, body: AnswerBody) -> None:
    """Refuse an answer that would be one surplus answer too many."""
    if body.supersedes is not None or services.meter.is_surplus_left(person.name):
        return
    if not history.would_count(services.store, person.name, question.id) and not history.status(
        services.store, str(body.judgement)
    ):
        raise Conflict(
            f"others have settled this question, and you have given {services.meter.caps.surplus} such answers today, "
            "which is the most that are kept: go on with the next question"
        )


def _next_claims(services: Services, person: Person, coming: ClaimBody | None) -> list[Claim] | None:
    """None if no question follows: a project may be closed while an annotator answers, and the answer is kept."""
    try:
        if coming is None:
            return None
        services.projects.for_work(coming.project, person.role)
        return assignments.next_claims(services, person.name, coming.project, coming.count)
    except (Conflict, Forbidden, NotFound):
        return None


def _read_question(
    services: Services, person: Person, body: AnswerBody
) -> tuple[Question, Ticket | None, tuple[int, ...]]:
    """The question that is answered, the lease that it is answered under, and the order in which its items stood."""
    secret = services.secret
    if body.lease is not None:
        ticket = Ticket.read(secret, person.name, body.lease)
        question = find_leased(services.store, secret, person.name, ticket, body.question)
        is_earlier = ticket.form == "stored"
        order = earlier_order(question, person.name) if is_earlier else order_of(secret, question, person.name)
        return question, ticket, order
    if body.supersedes is None:
        raise PlauditError("an answer names the lease of its question, or the judgement that it supersedes")
    try:
        question = find_question(services.store, secret, person.name, body.question)
        return question, None, order_of(secret, question, person.name)
    except StoreFault:
        raise
    except PlauditError:
        if not STORED_ID.fullmatch(body.question):
            raise
    # A page of a version before keyed ids names the question by its stored id. The judgement that it changes tells the
    # question, whatever the id: otherwise a script could try stored ids.
    try:
        judgement = own_judgement(services, person.name, body.supersedes)
    except NotFound:
        raise Conflict("you gave no judgement on this question that this one supersedes: load the page again") from None
    return services.store.questions([judgement.question])[0], None, tuple(judgement.order)


def _judgement(
    services: Services,
    person: Person,
    body: AnswerBody,
    question: Question,
    ticket: Ticket | None,
    order: tuple[int, ...],
) -> Judgement:
    """The event. Times: durations back from now, never before the lease began."""
    storable(body.value)
    now = services.clock()
    # If the clock has been set back since, it does not tell when the lease began.
    earliest = ticket.claimed_at if ticket is not None and ticket.claimed_at <= now else 0.0
    shown_at = max(earliest, now - body.elapsed.shown_ms / 1000)
    first_input_at = min(max(shown_at, now - body.elapsed.first_input_ms / 1000), now)
    return Judgement(
        question=question.id,
        annotator=person.name,
        value=body.value,
        order=order,
        shown_at=shown_at,
        first_input_at=first_input_at,
        submitted_at=now,
        id=str(body.judgement),
        rationale=body.rationale,
        supersedes=body.supersedes,
    )


def storable(value: Any) -> str:
    """``value`` as JSON; raises :class:`PlauditError` for what no database keeps (a lone surrogate, NaN)."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
    except ValueError as error:
        raise PlauditError("what was sent holds something that cannot be stored: send plain JSON in UTF-8") from error
    return text


def first_receipt(services: Services, receipt: Receipt) -> JudgementReceipt:
    """The receipt as it was the first time."""
    if receipt.status != "duplicate":
        return JudgementReceipt(id=receipt.id, status=receipt.status)
    status = history.status(services.store, receipt.id)
    return JudgementReceipt(id=receipt.id, status="surplus" if status == "surplus" else "accepted")


@router.post("/renew", responses=document_faults(401))
async def renew(body: LeaseBody, person: Consented, services: AppServices) -> list[RenewalOut]:
    """Renew leases. An expired lease is taken again if no other annotator has the question."""
    return await run_sync(_renew, services, person, body, limiter=services.judging)


def _renew(services: Services, person: Person, body: LeaseBody) -> list[RenewalOut]:
    tickets = {text: Ticket.read(services.secret, person.name, text) for text in body.all()}
    if not tickets:
        return []
    questions = services.store.questions([ticket.question for ticket in tickets.values()])
    seconds = {
        ticket.token: services.projects.lease_seconds(question.project)
        for ticket, question in zip(tickets.values(), questions, strict=True)
    }
    ends = services.store.renew_all(seconds, services.clock())
    answers = []
    for text, ticket in tickets.items():
        end = ends[ticket.token]
        renewed, end = (text, end) if end is not None else assignments.retake(services, person.name, ticket)
        answers.append(RenewalOut(lease=text, renewed=renewed, expires_at=end))
    return answers


@router.post("/release", status_code=204, responses=document_faults(401))
def release(body: LeaseBody, person: Consented, services: AppServices) -> None:
    """Give questions back unanswered, for other annotators."""
    tokens = [Ticket.read(services.secret, person.name, text).token for text in body.all()]
    if tokens:
        services.store.release(*tokens)


@router.put("/draft", status_code=204, responses=document_faults(401, 404))
def draft(body: DraftBody, person: Consented, services: AppServices) -> None:
    """Keep what was typed so far."""
    text = storable(body.body)
    if len(text) > DRAFT:
        raise PlauditError(f"a draft holds at most {DRAFT:,} characters: send what you have, or make it shorter")
    question = find_question(services.store, services.secret, person.name, body.question)
    if body.body is None:
        drafts.discard(services.store, person.name, question.id)
    else:
        drafts.save(services.store, person.name, question.id, text, services.clock())


@router.get("/progress", responses=document_faults(401, 404))
def show_progress(
    project: Annotated[str, Query(max_length=200)],
    person: Consented,
    services: AppServices,
    start: Annotated[float, Query(alias="since", ge=0, le=1e11, allow_inf_nan=False)] = 0.0,
) -> Progress:
    """The number of your judgements after ``since`` (seconds since the epoch, UTC), and of questions that wait."""
    services.projects.for_view(project, person.role, "read" in person.scopes)
    return count_progress(services, person.name, project, start)


@router.get("/history", responses=document_faults(401, 404))
def show_history(
    project: Annotated[str, Query(max_length=200)],
    person: Consented,
    services: AppServices,
    before: Annotated[int | None, Query(ge=1, le=2**53)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 30,
) -> list[Entry]:
    """Your judgements that are not superseded, latest first; ``before`` is the number of the last one seen."""
    services.projects.for_view(project, person.role, "read" in person.scopes)
    return list_entries(services, person.name, project, before, limit)


@router.get("/history/{judgement}", responses=document_faults(401, 404))
def reopen(judgement: str, person: Consented, services: AppServices) -> ReopenOut:
    """One of your judgements with its question, to change it: answer again with ``supersedes``."""
    event = own_judgement(services, person.name, judgement)
    question = services.store.questions([event.question])[0]
    return ReopenOut(
        judgement=event.id,
        value=dict(event.value),
        rationale=event.rationale,
        assignment=assignments.show(services, person.name, question),
    )


@router.post("/undo", responses=document_faults(401, 404, 409))
def undo(body: UndoBody, person: Consented, services: AppServices) -> UndoOut:
    """Withdraw a judgement, and get its question back. Withdrawing a talk withdraws its judgements, too."""
    event, now = own_judgement(services, person.name, body.judgement), services.clock()
    question = services.store.questions([event.question])[0]
    withdrawal = Judgement(
        question=question.id,
        annotator=person.name,
        value={"withdrawn": True},
        order=event.order,
        shown_at=now,
        first_input_at=now,
        submitted_at=now,
        id=str(body.id),
        supersedes=event.id,
    )
    parts = talks.follow(services.store, withdrawal) if kind(question.kind).live else []  # its turns go with a talk
    receipt = services.store.answer([withdrawal, *parts])[0]
    lease = assignments.reserve(services, person.name, question)
    assignment = assignments.show(services, person.name, question, lease, form="again")
    if lease is None:  # others have it now: the person may answer again, and it is surplus
        assignment.lease = Ticket("ended", question.id, now, "again").write(services.secret, person.name)
    return UndoOut(receipt=JudgementReceipt(id=receipt.id, status="accepted"), assignment=assignment)
