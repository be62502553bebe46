"""Measurements on held-out examples that several methods share."""

from __future__ import annotations

from typing import Any

from plaudit.language.calibration import HeldOutPairs
from plaudit.language.evaluation import Estimate
from plaudit.language.tune import Tuner
from plaudit.run.language.tune.data import Sides
from plaudit.run.language.tune.method import Result

ENOUGH_FOR_TEMPERATURE = 50  # held-out judgements; with fewer, a fitted temperature is mostly noise


def measure_pairs(pairs: HeldOutPairs, sign: int, name: str) -> Result:
    """The accuracy on held-out judgements, and that of a rule that knows only the responses' length (``sign``)."""
    accuracy, length_accuracy = pairs.accuracy(), pairs.length_accuracy(sign)
    if accuracy is None or length_accuracy is None:
        return Result({"accuracy": None}, f"no {name}: nothing that was held out decides between two responses")
    decided = pairs.count_decided()
    rule = "longer" if sign > 0 else "shorter"
    line = (
        f"held-out {name} {_percent(accuracy)} in {decided} judgements, "
        f"of the {rule} response {_percent(length_accuracy)}"
    )
    numbers: dict[str, Any] = {"judgements": decided, "length_rule": rule}
    for key, share in (("accuracy", accuracy), ("length_accuracy", length_accuracy)):
        numbers[key] = {"value": share.value, "low": share.low, "high": share.high}
    reliability = pairs.reliability()
    if reliability is not None:
        numbers |= {"log_loss": reliability.log_loss, "calibration_error": reliability.error}
    calibrated = pairs.calibrate().reliability()
    if calibrated is not None and decided >= ENOUGH_FOR_TEMPERATURE:
        numbers["temperature"] = pairs.temperature()
        numbers["calibrated"] = {"log_loss": calibrated.log_loss, "calibration_error": calibrated.error}
        line += f", calibrated at a temperature of {numbers['temperature']:.2f}"
    return Result(numbers, line)


def measure_loss(tuner: Tuner[Any], sides: Sides, before: float | None, name: str) -> Result:
    """A loss in nats per token on held-out examples, before the first step and now."""
    if before is None:
        return Result({}, "nothing was held out")
    after = tuner.evaluate(sides.held_out)["loss"]
    line = f"held-out {name} {before:.3f} -> {after:.3f} nats per token ({len(sides.held_out)} examples)"
    return Result({"before": before, "after": after}, line)


def _percent(share: Estimate) -> str:
    interval = "" if share.low is None or share.high is None else f" [{100 * share.low:.1f}, {100 * share.high:.1f}]"
    return f"{100 * share.value:.1f} %{interval}"
