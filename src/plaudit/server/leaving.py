"""Forgetting a person who leaves: the account goes, and what they judged stays under a pseudonym."""

from __future__ import annotations

from plaudit.feedback import leaving
from plaudit.feedback.store import Conflict
from plaudit.server.services import Services
from plaudit.types import PlauditError


def forget(services: Services, actor: str, name: str, confirmation: str) -> str:
    """Replace ``name`` by a pseudonym everywhere, and delete the rows about the person; the pseudonym.

    ``confirmation`` is the name, typed a second time. It cannot be undone. Raises :class:`NotFound`, and
    :class:`Conflict` for the admin who asks, the last admin, and a person who is forgotten already.
    """
    user = services.accounts.user(name)
    if confirmation != name:
        raise PlauditError(f"the name typed is not {name!r}: type it exactly so, because this cannot be undone")
    if actor == name:
        raise Conflict("you cannot forget yourself: another admin can")
    if user.forgotten_at is not None:
        raise Conflict(f"{name} is forgotten already")
    # Disabled first, in a separate transaction: from here on no judgement comes in under the name.
    if user.disabled_at is None:
        services.accounts.change_user(actor, name, {"disabled": True})
    pseudonym = leaving.forget_person(services.store, actor, name, services.clock())
    services.consents.forget(name)
    return pseudonym
