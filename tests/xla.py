"""What XLA is told in tests: to compile fast, which is more than half of their time."""

import importlib.util
import mmap
import pathlib

# Twice as fast without; XLA ends a process that names an option which it has not.
EMITTERS = "xla_cpu_use_fusion_emitters"


def knows(option: str) -> bool:
    """Whether the installed XLA has an option of this name."""
    spec = importlib.util.find_spec("jaxlib")
    assert spec is not None and spec.origin is not None
    for library in pathlib.Path(spec.origin).parent.glob("*.so"):
        with (
            library.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            if content.find(option.encode()) >= 0:
                return True
    return False


FAST = "--xla_backend_optimization_level=0"
AS_USERS = {}  # options of a compilation that takes back what FAST says of emitters
if knows(EMITTERS):
    FAST += f" --{EMITTERS}=false"
    AS_USERS = {EMITTERS: True}
