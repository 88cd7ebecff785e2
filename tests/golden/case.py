"""One golden file, as a check sees it: reads are counted, comparisons explain."""

import pathlib
from typing import Any

import numpy as np


class Case:
    """The arrays of one npz file.

    A check must read each of them (`case[name]`), compare with it (`close`, `equal`) or
    say why it does neither (`reference_only`); `unread` is what it forgot.
    """

    def __init__(self, path: pathlib.Path):
        with np.load(path, allow_pickle=False) as file:
            self._arrays = {name: file[name] for name in file.files}
        self._unread = set(self._arrays)
        self.num_comparisons = 0

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def __getitem__(self, name: str) -> np.ndarray:
        self._unread.discard(name)
        return self._arrays[name]

    @property
    def names(self) -> list[str]:
        """All arrays of the file, in its order."""
        return list(self._arrays)

    @property
    def unread(self) -> list[str]:
        """The arrays that the check has passed over so far."""
        return sorted(self._unread)

    def number(self, name: str) -> Any:
        """Reads a scalar as a Python number; float32 0.9 is meant as 0.9."""
        value = self[name]
        if np.issubdtype(value.dtype, np.floating):
            return float(str(value[()].astype(np.float32)))
        return value.item()

    def reference_only(self, *names: str, reason: str) -> None:
        """Sets arrays aside that ours is not meant to reproduce."""
        assert reason
        self._unread -= set(names)

    def close(
        self, name: str, ours: Any, *, rtol: float = 0.0, atol: float = 0.0
    ) -> None:
        """Compares with the array `name`; NaN equals NaN."""
        self.close_to(self[name], ours, name, rtol=rtol, atol=atol)

    def close_to(
        self, expected: Any, ours: Any, name: str, *, rtol: float = 0, atol: float = 0
    ) -> None:
        """Compares with what the definition asks, if the file holds something else."""
        self.num_comparisons += 1
        np.testing.assert_allclose(
            np.asarray(ours, np.float64),
            np.asarray(expected, np.float64),
            rtol=rtol,
            atol=atol,
            err_msg=name,
        )

    def resolved(self, name: str, least: float) -> dict[str, float]:
        """An absolute tolerance for `close`: `least`, or four float32 steps if more."""
        largest = np.max(np.abs(self[name]), initial=0.0)
        return {"atol": max(least, 4 * np.finfo(np.float32).eps * float(largest))}

    def equal(self, name: str, ours: Any) -> None:
        """Compares integers, bit for bit."""
        self.num_comparisons += 1
        np.testing.assert_array_equal(np.asarray(ours), self[name], err_msg=name)
