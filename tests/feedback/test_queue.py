"""Who may work on what, and for how long."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from plaudit.feedback.store import Claim, Store
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


def test_a_clock_that_jumps_forward_ends_leases_and_loses_nothing(store: Store, asked: list[Any], make: Any) -> None:
    (lease,) = store.claim("ann", now=1000.0)
    assert names(store.claim("bob", now=1e9)) == [asked[0].id]  # ann's has lapsed
    assert store.renew(lease.token, now=1000.0) is None
    late = make.judgement(asked[0], "ann")
    assert [each.status for each in store.answer([late])] == ["accepted"]  # nobody was faster
    assert [each.status for each in store.answer([make.judgement(asked[0], "bob")])] == ["surplus"]


def test_a_clock_that_was_set_back_takes_nothing_from_who_is_at_work(store: Store, asked: list[Any], make: Any) -> None:
    (mine,) = store.claim("ann", now=1e9)
    assert names(store.claim("bob", limit=9, now=1000.0)) == [each.id for each in asked[1:]]
    assert store.claim("cyd", now=1000.0) == [] and store.counts(now=1000.0).leased == 4
    assert store.renew(mine.token, now=1001.0) == 1121.0
    assert [each.status for each in store.answer([make.judgement(asked[0], "ann")])] == ["accepted"]


def test_a_clock_that_was_set_back_does_not_hold_questions_for_a_year(store: Store, asked: list[Any]) -> None:
    store.claim("ann", limit=4, lease_seconds=300.0, now=1e9)
    assert store.claim("bob", now=1000.0) == []  # from now on they last as long as they were to last
    assert store.claim("bob", now=1299.0) == []
    assert names(store.claim("bob", limit=9, now=1300.0)) == [each.id for each in asked]


def test_clocks_that_differ_a_little_change_nothing(store: Store, asked: list[Any]) -> None:
    store.claim("ann", limit=4, now=1000.0)
    assert store.claim("bob", now=941.0) == []
    assert store.claim("bob", now=1119.0) == []
    assert names(store.claim("bob", limit=9, now=1120.0)) == [each.id for each in asked]


def test_a_lease_renewed_by_the_right_clock_is_a_lease_of_that_clock(store: Store, asked: list[Any]) -> None:
    leases = store.claim("ann", limit=4, now=1e9)
    assert store.renew(leases[0].token, now=1000.0) == 1120.0  # before anybody has noticed
    assert store.claim("bob", now=1010.0) == []  # the others last from here on
    assert names(store.claim("bob", limit=9, now=1120.0)) == [asked[0].id]
    assert names(store.claim("cyd", limit=9, now=1130.0)) == [each.id for each in asked[1:]]


def test_for_whom_and_for_what(store: Store, make: Any) -> None:
    questions, segments = make.pairs(4)
    questions = [replace(each, project=name) for each, name in zip(questions, ("a", "a", "b", "b"), strict=True)]
    store.ask(questions[:1], segments)
    store.ask(questions[1:2], segments, purpose="gold")
    store.ask(questions[2:3], segments, purpose="repeat", only_for="bob")
    store.ask(questions[3:], segments)
    ids = [each.id for each in questions]
    assert names(store.claim(Claim("ann", 9), now=0.0)) == [ids[0], ids[3]]  # what is learned from, of any project
    store.release_all("ann")
    assert names(store.claim(Claim("ann", 9, "b"), now=0.0)) == [ids[3]]
    assert names(store.claim(Claim("ann", 9, None, ("gold", "repeat")), now=0.0)) == [ids[1]]
    assert names(store.claim(Claim("bob", 9, "b", ("train", "gold", "repeat")), now=0.0)) == [ids[2]]
    assert store.claim(Claim("bob", 9, "c"), now=0.0) == []
    said = {name: make.judgement(question, "bob") for name, question in zip("agrt", questions, strict=True)}
    store.answer(list(said.values()))
    assert store.judgements() == [said["a"], said["t"]]  # only those are learned from
    assert [event.purpose for event in store.events()] == ["train", "gold", "repeat", "train"]
    with pytest.raises(PlauditError, match="is for another annotator than ann"):
        store.answer([make.judgement(questions[2], "ann")])


def test_a_turn_answers_and_brings_further_questions(store: Store, asked: list[Any], make: Any) -> None:
    """The claims are filled in their order, up to as many questions as the largest asks for."""
    (lease,) = store.claim("ann", now=0.0)
    said = make.judgement(lease.question)
    wishes = [Claim("ann", purposes=("repeat",)), Claim("ann", 2), Claim("ann", 1)]
    receipts, leases = store.turn([said], [lease.token], wishes, lease_seconds=5.0, now=1.0)
    assert [each.status for each in receipts] == ["accepted"] and names(leases) == [each.id for each in asked[1:3]]
    assert {(each.claimed_at, each.expires_at) for each in leases} == {(1.0, 6.0)}
    receipts, leases = store.turn([said], [lease.token], wishes, now=2.0)  # the reply was lost: the same again
    assert [each.status for each in receipts] == ["duplicate"] and names(leases) == [asked[3].id]
    with pytest.raises(PlauditError, match="never asked"):
        store.turn([make.judgement("nowhere")], [leases[0].token], wishes, now=3.0)
    assert store.counts(now=3.0).leased == 3  # all or nothing


def test_what_is_recorded_is_asked_of_nobody(store: Store, make: Any) -> None:
    questions, segments = make.pairs(2)
    pairs = [(question, make.judgement(question)) for question in questions]
    assert [each.status for each in store.record(pairs, segments)] == ["accepted"] * 2
    assert [each.status for each in store.record(pairs, segments)] == ["duplicate"] * 2  # the reply was lost
    assert store.open_count() == 0 and store.judgements() == [said for _, said in pairs]
    more, others = make.pairs(1)
    with pytest.raises(PlauditError, match="whole number in -4"):
        store.record([(more[0], make.judgement(more[0], strength=5))], others)
    assert store.counts().questions == 2
    with pytest.raises(PlauditError, match="has no question"):
        store.questions([more[0].id])
    store.answer([make.withdrawal(pairs[0][1])])
    assert store.claim("bob") == [] and store.judgements() == [pairs[1][1]]
    same = make.judgement(questions[1], "bob")  # two who talk to one model may get the very same two responses
    assert [each.status for each in store.record([(questions[1], same)], segments)] == ["accepted"]
    assert store.judgements() == [pairs[1][1], same]


def test_to_record_an_answer_to_what_was_asked_ends_the_lease(store: Store, asked: list[Any], make: Any) -> None:
    (lease,) = store.claim("ann", now=0.0)
    assert store.record([(asked[0], make.judgement(asked[0]))], [])[0].status == "accepted"
    assert store.renew(lease.token, now=1.0) is None and store.open_count() == 3


@pytest.mark.parametrize("wrong", [{"annotator": " "}, {"limit": 0}, {"lease_seconds": 0.0}])
def test_claims_that_make_no_sense(store: Store, wrong: dict[str, Any]) -> None:
    claim: dict[str, Any] = {"annotator": "ann"} | wrong
    with pytest.raises(PlauditError, match="claim needs"):
        store.claim(**claim)
    with pytest.raises(PlauditError, match="judgements_wanted must be at least 1"):
        store.ask([], [], judgements_wanted=0)
