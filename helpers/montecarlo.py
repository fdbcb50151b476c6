"""Independent replicates of a simulation, drawn in batches: here, in other processes, or on a cluster."""

from dataclasses import dataclass

import torch
from joblib import Parallel, delayed
from tqdm import tqdm

from helpers.randomness import stream
from helpers.validation import a_device, a_function, count, fail, tensor

__all__ = ["simulate"]

DELAY = 3  # seconds until a progress bar appears


def simulate(draw, number, name, *, batch=1000, device="cpu"):
    r"""Independent replicates of a simulation along the first axis of a tensor on `device`, shape (`number`, ...).

    `draw(size, generator)` returns `size` of them, shape (`size`, ...), and takes all its random numbers from
    `generator`, a `torch.Generator` on `device`. It is called once for each `batch` of replicates and once for what
    remains, batch $b = 0, 1, \dots$ with the stream `generator(f"{name}: {b}", device)` of `helpers.randomness`. So the
    random numbers depend on `BOOK_SEED`, `name`, `number`, `batch` and `device` alone. Memory is wanted for the result
    and for the batches at work.

    Batches run in this process, one after another, unless joblib is told otherwise. Where they run changes no replicate
    beyond the rounding of sums that `draw` itself splits among threads:

        with joblib.parallel_config(backend="loky", n_jobs=4):  # processes; or "threading", or "dask" with a client
            heights = simulate(draw, 100_000, "heights")

    Other processes need `helpers` installed, and take over the default precision of this one. A progress bar appears on
    stderr after three seconds, unless the environment has `TQDM_DISABLE=1` when Python starts. Raises `ValueError` for
    a `draw` that cannot be called, a `number` or `batch` that is no whole number above zero, a `name` without text, and
    a `draw` that returns anything but `size` finite numbers, or arrays of them, of one shape and precision throughout.
    """
    a_function(draw, "draw", "a size and a generator")
    number, batch = count(number, "number"), count(batch, "batch")
    if not isinstance(name, str) or not name.strip():
        fail("name", "a text that names the simulation", repr(name)[:80])
    device = a_device(device, "device")
    starts = range(0, number, batch)
    parcels = Parallel(return_as="generator")(
        delayed(_run)(draw, min(batch, number - start), stream(f"{name}: {b}"), device, torch.get_default_dtype())
        for b, start in enumerate(starts)
    )
    result = None
    bar = tqdm(parcels, name, len(starts), delay=DELAY, leave=False, unit="batch")
    for start, parcel in zip(starts, bar, strict=True):
        values = parcel.values
        if result is None:
            result = values.new_empty((number, *values.shape[1:]), device=device)
        if values.shape[1:] != result.shape[1:] or values.dtype != result.dtype:
            first, other = (f"{one.dtype} of shape {tuple(one.shape[1:])}" for one in (result, values))
            fail("draw(size, generator)", f"replicates alike, {first}", other)
        result[start : start + len(values)] = values
    return result


@dataclass
class _Parcel:
    """A batch of replicates, which leaves its device only where it leaves its process."""

    values: torch.Tensor

    def __reduce__(self):
        return _Parcel, (self.values.cpu().clone(),)  # a view alone would take all that it is a view of


def _run(draw, size, source, device, dtype):
    torch.set_default_dtype(dtype)  # another process may have its own
    values = tensor(draw(size, source(device)), "draw(size, generator)").detach()
    if values.ndim == 0 or len(values) != size:
        fail("draw(size, generator)", f"{size} replicates along the first axis", f"shape {tuple(values.shape)}")
    return _Parcel(values)
