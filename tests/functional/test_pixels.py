"""Pictures into convolutions."""

import torch
from torch.nn.functional import conv2d

from plaudit.functional.pixels import PictureConv2d, pictures


def test_pictures_keep_their_bytes_and_lie_channels_last() -> None:
    frames = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(2, 3, 16, 16)
    for dtype in (torch.float32, torch.bfloat16):
        shown = pictures(frames, dtype)
        assert shown.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(shown.to(torch.uint8), frames)  # bfloat16 has eight bits: exact up to 256


def test_the_first_layer_sees_numbers_between_0_and_1() -> None:
    torch.manual_seed(0)
    layer = PictureConv2d(2, 3, 3).double()
    assert layer.bias is not None
    frames = torch.randint(0, 256, (2, 2, 6, 5), dtype=torch.uint8)
    weight, bias = (x.detach().clone().requires_grad_() for x in (layer.weight, layer.bias))
    expected = conv2d(frames.double() / 255, weight, bias)
    result = layer(pictures(frames, torch.float64))
    torch.testing.assert_close(result, expected, rtol=1e-12, atol=1e-12)
    factors = torch.randn_like(result)
    (result * factors).sum().backward()
    (expected * factors).sum().backward()
    torch.testing.assert_close(layer.weight.grad, weight.grad, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(layer.bias.grad, bias.grad, rtol=1e-12, atol=1e-12)
