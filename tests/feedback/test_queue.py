"""Who may work on what, and for how long."""

from __future__ import annotations

from typing import Any

import pytest

from plaudit.feedback.store import Store
from plaudit.types import PlauditError


def names(leases: list[Any]) -> list[str]:
    return [lease.question.id for lease in leases]


@pytest.fixture
def asked(store: Store, make: Any) -> list[Any]:
    questions, segments = make.pairs(4)
    store.ask(questions, segments)
    return questions


def test_oldest_first_and_each_to_one(store: Store, asked: list[Any]) -> None:
    ids = [question.id for question in asked]
    first = store.claim("ann", limit=3, lease_seconds=10.0, now=0.0)
    assert names(first) == ids[:3] and {lease.expires_at for lease in first} == {10}
    assert [lease.question for lease in first] == asked[:3]
    assert names(store.claim("bob", limit=3, now=1.0)) == ids[3:]
    assert store.claim("cyd", now=1.0) == [] and store.claim("ann", now=1.0) == []
    assert len({lease.token for lease in first}) == 3
    assert store.open_count() == 4 and store.counts(now=1.0).leased == 4


def test_an_expired_lease_is_given_to_the_next(store: Store, asked: list[Any]) -> None:
    store.claim("ann", limit=4, lease_seconds=10.0, now=0.0)
    assert store.claim("bob", limit=4, now=9.99) == []
    assert names(store.claim("bob", limit=4, now=10.0)) == [question.id for question in asked]
    assert store.counts(now=10.0).leased == 4


def test_renew_and_release(store: Store, asked: list[Any]) -> None:
    held, dropped = store.claim("ann", limit=2, lease_seconds=10.0, now=0.0)
    assert store.renew(held.token, lease_seconds=10.0, now=9.0) == 19
    assert store.release(dropped.token) and not store.release(dropped.token)
    assert names(store.claim("bob", limit=4, lease_seconds=100.0, now=18.0)) == [each.id for each in asked[1:]]
    assert store.renew(held.token, now=19.0) is None and store.renew("no such token", now=0.0) is None
    assert names(store.claim("bob", now=19.0)) == [asked[0].id]


def test_starting_again_gives_back_what_was_held(store: Store, asked: list[Any]) -> None:
    held = store.claim("ann", limit=2, now=0.0)
    store.claim("bob", now=0.0)
    assert store.release_all("ann") == 2 and store.release_all("ann") == 0
    assert names(store.claim("ann", limit=9, now=0.0)) == [*names(held), asked[3].id]


def test_an_answer_ends_the_lease(store: Store, asked: list[Any], make: Any) -> None:
    lease, extra = store.claim("ann", limit=2)
    store.answer([make.judgement(lease.question)], tokens=[extra.token])
    assert store.renew(lease.token) is None and store.renew(extra.token) is None
    assert names(store.claim("ann", limit=9)) == [each.id for each in asked[1:]]


def test_a_late_answer_counts_when_nobody_was_faster(store: Store, asked: list[Any], make: Any) -> None:
    store.claim("ann", limit=2, lease_seconds=10.0, now=0.0)
    store.claim("bob", limit=2, lease_seconds=10.0, now=20.0)
    faster, late = make.judgement(asked[0], "bob"), make.judgement(asked[0], "ann")
    assert [each.status for each in store.answer([faster, late])] == ["accepted", "surplus"]
    late = make.judgement(asked[1], "ann")
    assert [each.status for each in store.answer([late])] == ["accepted"]
    assert [each.status for each in store.answer([make.judgement(asked[1], "bob")])] == ["surplus"]
    assert store.counts().judgements == 4 and len(store.judgements()) == 2


def test_several_judgements_wanted_come_from_several_people(store: Store, make: Any) -> None:
    questions, segments = make.pairs(1)
    store.ask(questions, segments, judgements_wanted=3)
    assert len(store.claim("ann", limit=5, now=0.0)) == 1 and store.claim("ann", now=0.0) == []
    assert len(store.claim("bob", now=0.0)) == 1
    store.answer([make.judgement(questions[0], "ann")])
    assert store.claim("ann", now=0.0) == []  # has judged
    assert len(store.claim("cyd", now=0.0)) == 1
    assert store.claim("dan", now=0.0) == []  # one judgement and two live leases
    assert len(store.claim("dan", now=1000.0)) == 1  # the leases have expired


def test_who_withdrew_may_be_asked_again(store: Store, asked: list[Any], make: Any) -> None:
    said = make.judgement(asked[0])
    store.answer([said])
    assert asked[0].id not in names(store.claim("ann", limit=9, now=0.0))
    store.answer([make.withdrawal(said)])
    assert asked[0].id in names(store.claim("ann", limit=9, now=1.0))


def test_a_repeated_answer_does_not_end_a_new_lease(store: Store, asked: list[Any], make: Any) -> None:
    said = make.judgement(asked[0])
    store.answer([said])
    store.answer([make.withdrawal(said)])
    (lease,) = store.claim("ann", now=0.0)
    assert [each.status for each in store.answer([said])] == ["duplicate"]
    assert store.renew(lease.token, now=1.0) is not None


@pytest.mark.parametrize("wrong", [{"annotator": " "}, {"limit": 0}, {"lease_seconds": 0.0}])
def test_claims_that_make_no_sense(store: Store, wrong: dict[str, Any]) -> None:
    claim: dict[str, Any] = {"annotator": "ann"} | wrong
    with pytest.raises(PlauditError, match="claim needs"):
        store.claim(**claim)
    with pytest.raises(PlauditError, match="judgements_wanted must be at least 1"):
        store.ask([], [], judgements_wanted=0)
