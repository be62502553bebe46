"""The settings of a project."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from plaudit.feedback.kinds import Kind
from plaudit.feedback.schema_people import ROLES
from plaudit.types import PlauditError

DEFAULT_ROLES = ("admin", "reviewer", "annotator")
RED_TEAM = ("admin", "reviewer", "red-team")


@dataclass(frozen=True)
class ProjectSettings:
    """Shares and limits. Raises :class:`PlauditError` for values that are not possible."""

    repeats: float = 0.05
    """Share of judgements that are asked of the same person again, with the sides swapped."""
    gold: float = 0.05
    """Share of questions with a known answer."""
    assistance: float = 0.0
    """Share of questions of texts beside which a model's critiques stand, once `plaudit assist` has written them."""
    judgements_wanted: int = 1
    """Judgements wanted on each question asked from now on."""
    lease_seconds: float | None = None
    """Seconds for which a question is reserved; null: three times the median time, at least two minutes."""
    roles: tuple[str, ...] | None = None
    """Roles that are asked; null: reviewers, admins and annotators (the red team if the options say red_team)."""
    environment: str | None = None
    """The environment that draws the clips (Duel, CartPole-v1, ALE/Pong-v5); null: that of the training run."""
    environment_options: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the environment that differ from its defaults, as Gymnasium's make takes them: {"size": 5}."""

    def __post_init__(self) -> None:
        for name in ("repeats", "gold"):
            if not _number(getattr(self, name), 0, 0.5):
                raise PlauditError(f"setting {name} is a share in 0..0.5, got {getattr(self, name)!r}")
        if not _number(self.assistance, 0, 1):
            raise PlauditError(f"setting assistance is a share in 0..1, got {self.assistance!r}")
        count = self.judgements_wanted
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= 1000:
            raise PlauditError(f"setting judgements_wanted is a whole number in 1..1000, got {count!r}")
        if self.lease_seconds is not None and not _number(self.lease_seconds, 30, 86400):
            raise PlauditError(f"setting lease_seconds is null or in 30..86400, got {self.lease_seconds!r}")
        if self.environment is not None and not (isinstance(self.environment, str) and self.environment.strip()):
            raise PlauditError(f"setting environment is null or an environment's id, got {self.environment!r}")
        if "render_mode" in self.environment_options:
            raise PlauditError("setting environment_options has no render_mode: clips are drawn as the page needs them")
        if self.roles is not None and (not self.roles or set(self.roles) - set(ROLES)):
            raise PlauditError(f"setting roles is null or a list out of {', '.join(ROLES)}, got {list(self.roles)}")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ProjectSettings:
        """From JSON; what is left out has its default."""
        unknown = sorted(set(data) - {setting.name for setting in fields(cls)})
        if unknown:
            names = ", ".join(setting.name for setting in fields(cls))
            raise PlauditError(f"a project has no setting {unknown[0]!r}: there are {names}")
        values = dict(data)
        roles = values.get("roles")
        if roles is not None:
            if not isinstance(roles, list | tuple) or not all(isinstance(role, str) for role in roles):
                raise PlauditError(f"setting roles is null or a list out of {', '.join(ROLES)}, got {roles!r}")
            values["roles"] = tuple(roles)
        if not isinstance(values.get("environment_options", {}), Mapping):
            raise PlauditError(
                'setting environment_options is an object of the environment\'s settings, as {"size": 5}, '
                f"got {values['environment_options']!r}"
            )
        for name in ("repeats", "gold", "assistance", "lease_seconds"):
            value = values.get(name, 0.0)
            if value is None and name == "lease_seconds":
                continue
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise PlauditError(f"setting {name} must be a number, got {value!r}")
            if name in values:
                values[name] = float(value)
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self) | {"roles": None if self.roles is None else list(self.roles)}

    def roles_for(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        """The roles that are asked, in a project whose questions have these options."""
        if self.roles is not None:
            return self.roles
        return RED_TEAM if options.get("red_team") else DEFAULT_ROLES


def default_wording(kind: Kind, clips: bool) -> str:
    """The wording of a project that sets none; ``clips`` says whether people see clips or text."""
    return kind.wording_for(clips)


def check_options(options: Mapping[str, Any]) -> None:
    """Raise :class:`PlauditError` for what only an import may say of a question."""
    if "held" in options:  # with it a conversation would need no turn that the model was in
        raise PlauditError("option held is for conversations that come with an import: leave it out")


def _number(value: Any, least: int | float, most: int | float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most
