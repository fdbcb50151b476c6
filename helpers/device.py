"""The one place that decides where new data live."""

import torch

__all__ = ["default_device"]


def default_device(dtype=torch.float64):
    """The device for new data of this `dtype`: CUDA, then MPS, then the CPU.

    Apple's MPS has no float64, so derivations (float64) run on the CPU there and training (float32) on the GPU.
    """
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available() and dtype != torch.float64:
        return torch.device("mps")
    return torch.device("cpu")
