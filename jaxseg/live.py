"""A run's curves below the cell of a notebook that trains it: `curves`."""

import contextlib
import contextvars
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from PIL import Image

from jaxseg import plots
from jaxseg.reporting import metrics_file


@contextlib.contextmanager
def curves(
    workdir: str | os.PathLike[str],
    *,
    names: Sequence[str] = plots.SHOWN,
    seconds: float = 5.0,
) -> Iterator[None]:
    """Draws what a run logs while the block trains it, and once more at its end.

        with live.curves("runs/pico"):
            train.train(config, "runs/pico")

    Training stays in the main thread, where the notebook's stop button reaches it: the
    step is finished and saved. What may fail while drawing is raised at the end.

    Args:
        workdir: of the run; its metrics.jsonl is read.
        names: what to draw; see `plots.curves`.
        seconds: between two pictures.
    """
    from IPython.display import display

    def picture() -> Image.Image:
        return Image.fromarray(plots.curves(metrics_file.read(workdir), names=names))

    def follow() -> None:
        while not done.wait(seconds):
            shown.update(picture())

    shown = display(picture(), display_id=True)
    done = threading.Event()
    # In the context of the cell, to which the kernel then sends what is displayed.
    context = contextvars.copy_context()
    with ThreadPoolExecutor(1) as executor:
        drawing = executor.submit(context.run, follow)
        try:
            yield
        finally:
            done.set()
        drawing.result()
        shown.update(picture())
