"""Proofs that a model wrote a response: in which call, on which side, at the end of which conversation."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from plaudit.server.tickets import sign, verify


@dataclass(frozen=True)
class Proof:
    """A response's place; the signature over it and the talk is in what :meth:`write` gives."""

    call: str  # when the model was asked, milliseconds in hexadecimal, and something random
    side: int  # 0 or 1 of the responses that came together

    def write(self, secret: bytes, *talk: object) -> str:
        """As the page holds it."""
        return f"{self.call}.{self.side}.{sign(secret, 'talk', self.call, self.side, *talk)}"

    @property
    def asked_at(self) -> int:
        """When the model was asked, milliseconds."""
        return int(self.call[:12], 16)


def new_call(now: float) -> str:
    """A name for one call of the model at ``now``."""
    return f"{int(now * 1000):012x}{secrets.token_hex(4)}"


def read(secret: bytes, text: str, *talk: object) -> Proof | None:
    """The proof that was written for this talk; None for any other."""
    call, _, rest = text.partition(".")
    side, _, signature = rest.partition(".")
    if side not in ("0", "1") or not verify(secret, signature, "talk", call, int(side), *talk):
        return None
    return Proof(call, int(side))
