"""Passwords and random tokens, of which only hashes are stored."""

from __future__ import annotations

import hashlib
import secrets
import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from plaudit.types import PlauditError

LEAST, MOST = 10, 1024  # characters of a password
AT_ONCE = 2  # hashes; each takes 46 MiB and some 50 ms


class Passwords:
    """argon2id. A name that is unknown costs as much time as a wrong password."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        # RFC 9106 asks for what the machine can bear; OWASP's least is 46 MiB and one pass, or 19 MiB and two.
        self._hasher = hasher or PasswordHasher(time_cost=2, memory_cost=46 * 1024, parallelism=1)
        self._turns = threading.Semaphore(AT_ONCE)
        self._dummy_hash = self._hasher.hash(secrets.token_urlsafe())

    def hash(self, password: str) -> str:
        """The hash to store; raises :class:`PlauditError` for a password too short or too long."""
        if not LEAST <= len(password) <= MOST:
            raise PlauditError(f"a password has {LEAST} to {MOST} characters, this one has {len(password)}")
        with self._turns:
            return self._hasher.hash(password.encode("utf-8", "surrogatepass"))

    def verify(self, stored_hash: str | None, password: str) -> bool:
        """Whether ``password`` has this hash; None, for an unknown name, takes as long and is False."""
        with self._turns:
            try:
                self._hasher.verify(
                    stored_hash or self._dummy_hash, password[: MOST + 1].encode("utf-8", "surrogatepass")
                )
            except (VerifyMismatchError, VerificationError, InvalidHashError):
                return False
        return stored_hash is not None

    def is_outdated(self, stored_hash: str) -> bool:
        """Whether ``stored_hash`` was made with other parameters than those in use."""
        return self._hasher.check_needs_rehash(stored_hash)


def new_token(prefix: str = "") -> str:
    """256 random bits as text."""
    return prefix + secrets.token_urlsafe(32)


def digest(token: str) -> str:
    """The hash that is stored of a random token; without salt, because 256 random bits cannot be guessed."""
    return hashlib.blake2b(token.encode("utf-8", "replace"), digest_size=32).hexdigest()
