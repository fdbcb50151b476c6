import gzip
import hashlib
import io

import numpy as np
import pytest

from helpers.adversarial import mnist

DIGITS = np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)


def idx(array, kind=8):
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, kind, array.ndim]) + sizes + array.tobytes()


@pytest.mark.parametrize("pack", [gzip.compress, bytes], ids=["compressed", "plain"])
def test_a_file_in_the_true_format_is_read(tmp_path, pack):
    path = tmp_path / "digits"
    path.write_bytes(pack(idx(DIGITS)))
    for one in (path, str(path)):
        np.testing.assert_array_equal(mnist.read(one), DIGITS)


def test_images_that_are_there_are_not_fetched(tmp_path, monkeypatch):
    monkeypatch.setattr(mnist, "urlopen", None)
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(DIGITS)))
    assert mnist.images(tmp_path, "test").shape == (5, 28, 28)


def test_images_are_fetched_once_and_kept(tmp_path, monkeypatch):
    content, asked = gzip.compress(idx(DIGITS)), []

    def answer(address, timeout):
        asked.append(address)
        return io.BytesIO(content)

    monkeypatch.setattr(mnist, "urlopen", answer)
    checksum = hashlib.md5(content, usedforsecurity=False).hexdigest()
    monkeypatch.setitem(mnist.PARTS, "train", ("train-images-idx3-ubyte.gz", checksum))
    for _ in range(2):
        np.testing.assert_array_equal(mnist.images(tmp_path / "new" / "folder"), DIGITS)
    assert asked == [mnist.SOURCE + "train-images-idx3-ubyte.gz"]
    with pytest.raises(ValueError, match="folder: wanted the file t10k-images-idx3-ubyte.gz as it was published"):
        mnist.images(tmp_path, "test")
    assert not (tmp_path / "t10k-images-idx3-ubyte.gz").exists()


BROKEN = {
    "empty": b"",
    "another kind of number": idx(DIGITS, kind=13),
    "cut off": idx(DIGITS)[:-1],
    "too long": idx(DIGITS) + b"0",
    "no axes": bytes([0, 0, 8, 0]),
    "without images": idx(DIGITS[:0]),
    "half compressed": gzip.compress(idx(DIGITS))[:-30],
    "a page": b"<html>not found</html>",
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_file_that_is_none_of_the_format_is_refused(tmp_path, content):
    path = tmp_path / "digits"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="path: wanted a "):
        mnist.read(path)


def test_paths_and_parts_that_are_none_are_refused(tmp_path):
    with pytest.raises(ValueError, match="path: wanted a file"):
        mnist.read(tmp_path / "nothing")
    with pytest.raises(ValueError, match="part: wanted one of 'train', 'test'"):
        mnist.images(tmp_path, "validation")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ValueError, match="folder: wanted a folder"):
        mnist.images(tmp_path / "file")
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(idx(DIGITS[0]))
    with pytest.raises(ValueError, match="folder: wanted images"):
        mnist.images(tmp_path, "test")
