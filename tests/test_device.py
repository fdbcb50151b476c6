import re

import pytest
import torch
from test_randomness import book_code

from helpers.device import default_device

CHAIN = [  # CUDA, MPS, dtype, device
    (True, True, torch.float64, "cuda"),
    (True, False, torch.float32, "cuda"),
    (False, True, torch.float32, "mps"),
    (False, True, torch.float64, "cpu"),
    (False, False, torch.float32, "cpu"),
    (False, False, torch.float64, "cpu"),
]


@pytest.mark.parametrize(("cuda", "mps", "dtype", "device"), CHAIN)
def test_cuda_comes_before_mps_before_the_cpu_and_mps_has_no_float64(monkeypatch, cuda, mps, dtype, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert default_device(dtype) == torch.device(device)


def test_new_data_are_for_derivations_unless_told(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert default_device() == torch.device("cpu")


def test_the_device_is_one_that_torch_can_use():
    assert torch.ones(2, dtype=torch.float64, device=default_device()).sum().item() == 2


def test_which_device_there_is_is_asked_in_one_place():
    asks = re.compile(r"cuda\.(is_available|device_count)|mps\.is_(available|built)|accelerator\.")
    assert {name for name, code in book_code() if asks.search(code)} == {"helpers/device.py"}
