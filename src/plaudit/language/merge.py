"""One model from the weights of several: what a run has taught, with what it has cost taken back in part.

Averages of models that were fine-tuned from one base stay good (Wortsman et al. 2022, "Model soups"), and between a
model and its base they trade what RLHF taught against what it degraded (Lin et al. 2024, "Mitigating the alignment tax
of RLHF", section 4).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from plaudit.language.loading import read_pretrained
from plaudit.types import PlauditError, shorten


def merge(
    models: Sequence[str],
    weights: Sequence[float],
    trust: bool = False,
    report_progress: Callable[[int], None] = lambda count: None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """sum_i w_i theta_i of models with the same parameters, in float32, and the tokenizer of the first.

    weights: they sum to 1, and may be negative, which extrapolates. report_progress: gets the number of models read.

    Raises:
        PlauditError: the models differ in more than the values of their parameters; the weights do not sum to 1; as
            :func:`plaudit.language.loading.read_pretrained`.
    """
    check_weights(models, weights)
    total, tokenizer = read_pretrained(models[0], trust)
    report_progress(1)
    with torch.no_grad():
        parameters = dict(total.named_parameters())
        for parameter in parameters.values():
            parameter.mul_(weights[0])
        for count, (name, weight) in enumerate(zip(models[1:], weights[1:], strict=True), start=2):
            model, other_tokenizer = read_pretrained(name, trust)
            _check_match(models[0], parameters, name, dict(model.named_parameters()))
            if other_tokenizer.get_vocab() != tokenizer.get_vocab():
                raise PlauditError(
                    f"{name} has other tokens than {models[0]}: their embeddings cannot be merged; name models that "
                    "were trained from one base"
                )
            for key, parameter in model.named_parameters():
                parameters[key].add_(parameter, alpha=weight)
            report_progress(count)
    return total, tokenizer


def check_weights(models: Sequence[str], weights: Sequence[float]) -> None:
    """Raise :class:`PlauditError` unless there are two models or more, with weights that sum to 1."""
    if len(models) < 2:
        raise PlauditError(f"merging needs at least 2 models, got {len(models)}")
    if len(weights) != len(models):
        raise PlauditError(f"{len(models)} models were named with {len(weights)} weights: give one for each")
    if not all(map(math.isfinite, weights)) or not math.isclose(math.fsum(weights), 1.0, abs_tol=1e-6):
        raise PlauditError(f"weights of models must sum to 1, got {', '.join(f'{weight:g}' for weight in weights)}")


def _check_match(
    first: str, expected: dict[str, torch.nn.Parameter], second: str, parameters: dict[str, torch.nn.Parameter]
) -> None:
    """Raise :class:`PlauditError` unless both have parameters of the same names and shapes."""
    differences = [
        name
        for name in sorted({*expected, *parameters})
        if name not in expected or name not in parameters or expected[name].shape != parameters[name].shape
    ]
    if differences:
        raise PlauditError(
            shorten(
                f"{first} and {second} differ in {len(differences)} parameters, such as {differences[0]}: name models "
                "that were trained from one base"
            )
        )
