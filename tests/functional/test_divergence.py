"""KL estimators against the exact divergence of small distributions; the controller by hand."""

from math import exp, log

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from plaudit.functional.divergence import adaptive_lambda, best_of_n_kl, k1, k3, penalise, top_kl


def pair(seed: int) -> tuple[Tensor, Tensor]:
    """Log-probabilities of two distributions over five outcomes."""
    logits = torch.randn(2, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    policy, reference = logits.log_softmax(-1)
    return policy, reference


def test_estimators_by_hand() -> None:
    # pi = 0.5, pi_ref = 0.25: log ratio log 2; k3 = 1/2 - 1 + log 2
    log_probs, reference = torch.tensor([log(0.5)]).double(), torch.tensor([log(0.25)]).double()
    assert k1(log_probs, reference).item() == pytest.approx(log(2))
    assert k3(log_probs, reference).item() == pytest.approx(log(2) - 0.5)
    # r - 0.1 log 2
    assert penalise(torch.tensor([3.0]).double(), log_probs, reference, 0.1).item() == pytest.approx(3 - 0.1 * log(2))


@given(seed=st.integers(0, 1000))
def test_k1_and_k3_are_unbiased(seed: int) -> None:
    policy, reference = pair(seed)
    kl = torch.nn.functional.kl_div(reference, policy, log_target=True, reduction="sum")
    for estimator in (k1, k3):
        torch.testing.assert_close((policy.exp() * estimator(policy, reference)).sum(), kl)


@given(policy=st.floats(-30, 0), reference=st.floats(-30, 0))
def test_k3_is_never_negative(policy: float, reference: float) -> None:
    log_probs, other = torch.tensor([policy]), torch.tensor([reference])
    assert k3(log_probs, other).item() >= 0
    assert k3(log_probs, log_probs).item() == 0


def test_gradients_as_losses_are_what_the_docstrings_say() -> None:
    policy, reference = pair(3)
    logits = policy.clone().requires_grad_()
    sampled = policy.exp()  # the weights of samples carry no gradient

    def gradient(loss: Tensor) -> Tensor:
        return torch.autograd.grad(loss, logits)[0]

    now = logits.log_softmax(-1)
    reverse = gradient((now.exp() * (now - reference)).sum())
    forward = gradient((reference.exp() * (reference - logits.log_softmax(-1))).sum())
    torch.testing.assert_close(
        gradient((sampled * k1(logits.log_softmax(-1), reference)).sum()), torch.zeros(5).double()
    )
    half_square = 0.5 * k1(logits.log_softmax(-1), reference).square()
    torch.testing.assert_close(gradient((sampled * half_square).sum()), reverse)
    torch.testing.assert_close(gradient((sampled * k3(logits.log_softmax(-1), reference)).sum()), forward)


def test_gradcheck() -> None:
    policy, reference = pair(0)
    for estimator in (k1, k3):
        assert gradcheck(estimator, (policy.clone().requires_grad_(), reference.clone().requires_grad_()))


def test_adaptive_lambda_by_hand() -> None:
    # on target nothing moves; 10 % above: 0.2 * (1 + 0.1 * 100 / 1000) = 0.202; far off it is held at 20 %
    assert adaptive_lambda(0.2, 6.0, 6.0, 100, 1000.0) == 0.2
    assert adaptive_lambda(0.2, 6.6, 6.0, 100, 1000.0) == pytest.approx(0.202)
    assert adaptive_lambda(0.2, 60.0, 6.0, 100, 1000.0) == pytest.approx(0.2 * 1.02)
    assert adaptive_lambda(0.2, -1.0, 6.0, 100, 1000.0) == pytest.approx(0.2 * 0.98)
    with pytest.raises(ValueError, match="above zero"):
        adaptive_lambda(0.2, 1.0, 0.0, 1, 1.0)


def test_best_of_n_kl() -> None:
    assert best_of_n_kl(1) == 0
    assert best_of_n_kl(4) == pytest.approx(log(4) - 0.75)
    with pytest.raises(ValueError, match="best of 0"):
        best_of_n_kl(0)


def test_best_of_n_kl_is_the_divergence_of_the_maximum_of_uniforms() -> None:
    # The best of n uniforms has density n x^(n-1); KL to the uniform by the midpoint rule.
    n, points = 5, 20000
    x = (torch.arange(points, dtype=torch.float64) + 0.5) / points
    density = n * x ** (n - 1)
    assert (density * density.log()).mean().item() == pytest.approx(best_of_n_kl(n), abs=exp(-12))


def test_top_kl_by_hand() -> None:
    # teacher (1/2, 1/4, 1/8, 1/8), pi (1/4, 1/4, 1/4, 1/4): two kept, the others are 1/4 against 1/2
    teacher, own = torch.tensor([[0.5, 0.25]]).log(), torch.tensor([[0.25, 0.25]]).log()
    assert top_kl(teacher, own).item() == pytest.approx(0.5 * log(2) - 0.25 * log(2))
    every = torch.tensor([[0.5, 0.25, 0.125, 0.125]]).log()
    assert top_kl(every, torch.full((1, 4), 0.25).log()).item() == pytest.approx(0.25 * log(2), abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_top_kl_is_at_most_the_whole(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    teacher, own = (torch.randn(50, 9, generator=generator, dtype=dtype).log_softmax(-1) for _ in range(2))
    whole = (teacher.exp() * (teacher - own)).sum(-1)
    best = teacher.topk(4).indices
    kept = top_kl(teacher.gather(1, best), own.gather(1, best))
    assert (kept >= -1e-6).all() and (kept <= whole + 1e-6).all()
    torch.testing.assert_close(top_kl(teacher, own), whole, rtol=1e-4, atol=1e-5)
    assert top_kl(teacher[:, :4], teacher[:, :4]).abs().max() < 1e-5


def test_top_kl_has_the_gradient_that_it_says() -> None:
    generator = torch.Generator().manual_seed(0)
    teacher, own = (torch.randn(6, 7, generator=generator, dtype=torch.float64) for _ in range(2))
    known = teacher.log_softmax(-1)[:, :3]
    assert gradcheck(lambda logits: top_kl(known, logits.log_softmax(-1)[:, :3]), own.requires_grad_())
