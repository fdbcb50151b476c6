"""MNIST's handwritten digits, for readers with an internet connection: the files, and the format they are in."""

import gzip
import hashlib
import math
from pathlib import Path
from urllib.request import urlopen

import torch

from helpers.validation import fail, one_of

__all__ = ["images", "read"]

SOURCE = "https://ossci-datasets.s3.amazonaws.com/mnist/"
PARTS = {
    "train": ("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
    "test": ("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
}
SECONDS = 60


def images(folder, part="train"):
    """The 60 000 images of `part` "train", or the 10 000 of "test": shape (n, 28, 28), whole numbers from 0 to 255.

    The file is looked for in `folder`, a path, which is made where it is missing; what is not there is fetched once
    and compared with its checksum. Raises `ValueError` for another part, a folder that is none, a file that was changed
    on its way or is no such file, and `OSError` where there is no connection. Source: LeCun, Cortes and Burges, The
    MNIST database of handwritten digits.
    """
    one_of(part, "part", PARTS)
    folder = _path(folder, "folder")
    name, checksum = PARTS[part]
    if folder.exists() and not folder.is_dir():
        fail("folder", "a folder", f"the file {str(folder)!r}"[:80])
    if not (folder / name).exists():
        with urlopen(SOURCE + name, timeout=SECONDS) as answer:
            content = answer.read()
        if hashlib.md5(content, usedforsecurity=False).hexdigest() != checksum:
            fail("folder", f"the file {name} as it was published", f"another one from {SOURCE}")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    found = read(folder / name)
    if found.ndim != 3:
        fail("folder", "images, shape (n, rows, columns)", f"shape {tuple(found.shape)}")
    return found


def read(path):
    """The array in the IDX file at `path`, compressed by gzip or not, as a tensor of float32.

    Two zero bytes, 8 for unsigned bytes, the number of axes; their sizes, four bytes each, the largest first; the
    numbers in rows. Raises `ValueError` where there is no such file.
    """
    path = _path(path, "path")
    if not path.is_file():
        fail("path", "a file", repr(str(path))[:80])
    content = path.read_bytes()
    try:
        content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except (EOFError, OSError) as error:
        fail("path", "a whole file", f"{path.name}: {error}"[:80])
    axes = content[3] if content[:3] == b"\0\0\x08" and len(content) > 3 else 0
    sizes = [int.from_bytes(content[4 + 4 * k : 8 + 4 * k], "big") for k in range(axes)]
    if not axes or len(content) != 4 + 4 * axes + math.prod(sizes) or not math.prod(sizes):
        fail("path", "a file of unsigned bytes in the IDX format", f"{path.name}, {len(content)} bytes")
    return torch.frombuffer(bytearray(content[4 + 4 * axes :]), dtype=torch.uint8).float().view(sizes)


def _path(value, name):
    if not isinstance(value, str | Path) or not str(value).strip():
        fail(name, "a path", repr(value)[:80])
    return Path(value)
