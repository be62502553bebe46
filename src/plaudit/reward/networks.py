"""Ensembles stacked along a member axis: one batched product evaluates all members, whatever their number."""

import itertools
from math import sqrt

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from plaudit.functional.pictures import convolutions
from plaudit.functional.pixels import PictureConv2d, half_precision, pictures

SLOPE = 0.01  # leaky ReLU, Christiano et al. 2017, appendix A.1


class StackedMLP(nn.Module):
    """``M`` independent MLPs: (N, F) or (M, N, F) -> (M, N), or (M, N, O) with several outputs.

    Weights are (M, in, out): a layer is one ``bmm``.
    """

    def __init__(self, members: int, inputs: int, hidden: tuple[int, ...], outputs: int = 1) -> None:
        super().__init__()
        sizes = (inputs, *hidden, outputs)
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for fan_in, fan_out in itertools.pairwise(sizes):
            bound = 1 / sqrt(fan_in)
            self.weights.append(torch.empty(members, fan_in, fan_out).uniform_(-bound, bound))
            self.biases.append(torch.empty(members, 1, fan_out).uniform_(-bound, bound))
        self.members, self.outputs = members, outputs

    def forward(self, inputs: Float[Tensor, "*M N F"]) -> Float[Tensor, "members N *O"]:
        """All members on the same inputs (N, F), or each on its own (M, N, F)."""
        hidden = inputs.expand(self.members, *inputs.shape[-2:])
        last = len(self.weights) - 1
        for index, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = torch.bmm(hidden, weight).add_(bias)  # a tenth faster than baddbmm, which copies the bias first
            if index < last:
                hidden = torch.nn.functional.leaky_relu_(hidden, SLOPE)
        return hidden if self.outputs > 1 else hidden[..., 0]


class HalfDropout(nn.Module):
    """Dropout of one half, while training: torch's draws a number for every value, this a bit; a quarter of the time.

    Drawing was two fifths of the time of a fit.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shifts", torch.arange(8, dtype=torch.uint8), persistent=False)
        self.shifts: Tensor

    def forward(self, x: Float[Tensor, "N channels height width"]) -> Float[Tensor, "N channels height width"]:
        """Each value times 0 or 2, at even odds; the mask lies in memory as ``x`` does, channels last."""
        if not self.training:
            return x
        count, channels, height, width = x.shape
        draws = torch.randint(-(2**63), 2**63 - 1, (-(-x.numel() // 64),), device=x.device)
        zero_or_two = ((draws.view(torch.uint8)[:, None] >> self.shifts) & 1) << 1
        mask = zero_or_two.flatten()[: x.numel()].view(count, height, width, channels)
        return x * mask.permute(0, 3, 1, 2)


class StackedCNN(nn.Module):
    """``M`` of the paper's reward CNNs (Christiano et al. 2017, appendix A.2), members as convolution groups.

    The first layer reads one shared picture, so it is an ordinary convolution with M * 16 filters. Batch
    normalisation and dropout 0.5 act on each member's own channels. The action is not an input, as in the paper.
    """

    def __init__(self, members: int, channels: int, height: int, width: int, outputs: int = 1) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width_in = channels
        for index, (kernel, stride) in enumerate(convolutions(height, width)):
            layer, groups = (nn.Conv2d, members) if index else (PictureConv2d, 1)
            layers += [layer(width_in, members * 16, kernel, stride, groups=groups)]
            layers += [nn.BatchNorm2d(members * 16), nn.LeakyReLU(SLOPE), HalfDropout()]
            height, width, width_in = (height - kernel) // stride + 1, (width - kernel) // stride + 1, members * 16
        self.trunk = nn.Sequential(*layers)
        self.head = StackedMLP(members, 16 * height * width, (64,), outputs)
        self.members = members

    def forward(self, inputs: Shaped[Tensor, "N *picture"]) -> Float[Tensor, "members N *O"]:
        """All members on the same pictures (uint8), channels first or last."""
        with half_precision(inputs.device) as dtype:
            features = self.trunk(pictures(inputs, dtype))
            return self.head(features.flatten(1).reshape(len(inputs), self.members, -1).transpose(0, 1)).float()
