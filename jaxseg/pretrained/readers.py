"""Reads files of weights: `read` looks at the content and picks the format's reader."""

import pathlib
import zipfile

import numpy as np

from jaxseg.pretrained import pytorch, safetensors

Path = str | pathlib.Path

EXPECTED = (
    "expected a .safetensors file, one by torch.save (.pth, .pt, .bin) or an .npz"
)
AGAIN = "download it again"
# What people give by mistake: how it begins, what it is, what to do.
OTHERS = (
    (b"version https://git-lfs", "a pointer of Git LFS", "run `git lfs pull`"),
    (b"\x89PNG", "a picture", "give the file of weights"),
    (b"\xff\xd8\xff", "a picture", "give the file of weights"),
    (b"GIF8", "a picture", "give the file of weights"),
    (b"%PDF", "a PDF", "give the file of weights"),
    (b"\x93NUMPY", "a single array by np.save", "save it by name with np.savez"),
    (b"\x89HDF", "an HDF5 file, as of Keras", "convert it with the tool it is from"),
    (b"\x1f\x8b", "compressed by gzip", "unpack it"),
    (b"BZh", "compressed by bzip2", "unpack it"),
    (b"\xfd7zXZ", "compressed by xz", "unpack it"),
    (b"7z\xbc\xaf", "a 7z archive", "unpack it"),
    (b"\x80", "a Python pickle that torch.save did not write", "save the arrays anew"),
)
WEB_PAGE = "a web page", "follow its download link and give the file behind it"
TAR = "a tar archive", "unpack it and give the file of weights inside"


def read(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a file, by name, in the file's own dtypes; the content decides.

    Args:
        path: a .safetensors file, one by torch.save (`jaxseg.pretrained.pytorch`), or
            an .npz. Nothing in it is ever run.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is of another kind, or damaged; the text is one sentence.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder and not a file of weights: {EXPECTED}")
    if not path.is_file():
        raise FileNotFoundError(f"there is no weights file {path}")
    with open(path, "rb") as file:
        head = file.read(512)
    if head.startswith(b"PK\x03\x04"):
        return _read_zip(path)
    if pytorch.MAGIC in head[:32]:
        return pytorch.read(path)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= safetensors.LONGEST:
        return safetensors.read(path)
    what, advice = _describe(head)
    raise ValueError(
        f"{path} is {what} and not a file of weights: {EXPECTED}; {advice}"
    )


def _read_zip(path: pathlib.Path) -> dict[str, np.ndarray]:
    """PyTorch and NumPy both write zip archives."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception as error:  # a damaged archive fails in many ways
        raise ValueError(
            f"{path} is a zip archive, as PyTorch and NumPy write them, that is cut "
            f"off or damaged ({error}): {AGAIN}"
        ) from error
    if any(name.endswith("/data.pkl") for name in names):
        return pytorch.read(path)
    if names and all(name.endswith(".npy") for name in names):
        return _read_npz(path)
    raise ValueError(
        f"{path} is a zip archive with {', '.join(names[:3]) or 'nothing'} in it and "
        f"not a file of weights: {EXPECTED}; unpack it if it holds one"
    )


def _read_npz(path: pathlib.Path) -> dict[str, np.ndarray]:
    arrays = {}
    with np.load(path, allow_pickle=False) as archive:
        for name in archive.files:
            try:
                arrays[name] = archive[name]
            # NumPy refuses objects by a ValueError; damage shows in many ways.
            except Exception as error:
                raise ValueError(
                    f"{path}: {name} cannot be read, because it holds Python objects "
                    f"or is damaged ({error}): save plain arrays, or {AGAIN}"
                ) from error
    return arrays


def _describe(head: bytes) -> tuple[str, str]:
    """What a file of another kind is, by its first bytes, and what to do."""
    if not head:
        return "empty", AGAIN
    for beginning, what, advice in OTHERS:
        if head.startswith(beginning):
            return what, advice
    if head[257:262] == b"ustar":
        return TAR
    start = head.lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return WEB_PAGE
    text = head.decode("latin1")
    if not head.isascii() or not "".join(text.split()).isprintable():
        return f"of no known format (it begins with {head[:8]!r})", AGAIN
    return f"a text that begins with {text[:30]!r}", "give the file of weights"
