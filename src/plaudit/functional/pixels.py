"""Pictures into convolutions: bfloat16 where the processor or the GPU multiplies it natively, float32 elsewhere."""

import contextlib
from collections.abc import Iterator
from functools import cache

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from plaudit.functional.pictures import channels_last


@cache
def native_bfloat16(device_type: str) -> bool:
    """Whether the device has bfloat16 products; measured on AVX-512 BF16: a CNN's training step costs 0.4 times."""
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported()
    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(probe and probe())


@contextlib.contextmanager
def half_precision(device: torch.device) -> Iterator[torch.dtype]:
    """Autocast in which matrix products run in bfloat16 where that is native; yields the dtype for inputs."""
    half = native_bfloat16(device.type)
    with torch.autocast(device.type, torch.bfloat16, enabled=half):
        yield torch.bfloat16 if half else torch.float32


def pictures(frames: UInt8[Tensor, "N *shape"], dtype: torch.dtype) -> Float[Tensor, "N channels height width"]:
    """Bytes as numbers 0 to 255 (exact in bfloat16), in memory with channels last: laid out while they are still bytes,
    which moves a quarter of the memory. Frames have their channels first or last."""
    if channels_last(tuple(frames.shape[1:])):
        frames = frames.permute(0, 3, 1, 2)
    return frames.contiguous(memory_format=torch.channels_last).to(dtype)


class PictureConv2d(nn.Conv2d):
    """The first layer on :func:`pictures`, as if they were in [0, 1]: its weights are scaled, which are far fewer."""

    def forward(self, input: Float[Tensor, "N channels height width"]) -> Float[Tensor, "N filters rows columns"]:
        """Convolve ``input / 255``."""
        return self._conv_forward(input, self.weight * (1 / 255), self.bias)
