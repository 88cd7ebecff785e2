"""How fast pictures are read, augmented and stacked: one JSON object a line.

    python -m benchmarks.data              crops of 512x1024 from 1024x2048 pictures
    python -m benchmarks.data --tiny       small ones, for tests
    python -m benchmarks.data --compare    only `data_compare`: beside torch's loader,
                                           and augmenting on the device

The pictures are made (smooth colours with noise, as PNG and as JPEG of quality 95,
masks of 19 classes) and written to a temporary folder. Reported per line: images a
second, how many cores were busy with them (fewer than threads, where other programs
take their share), images a second for each busy core, and the share of a thread's time
that is decoding. Seconds are for one picture when decoding and augmenting, and for one
batch when loading. Then come the loaders beside a torch DataLoader (`data_compare`).
The last lines are a training step fed with the pictures, and the share of the loading
that it hides.
"""

import argparse
import dataclasses
import os
import pathlib
import statistics
import tempfile
import time
from collections.abc import Iterator

import jax
import numpy as np
from PIL import Image

from benchmarks import data_compare, measure, train_step
from jaxseg.data import extras, folder, loaders, pictures, pipeline, transforms
from jaxseg.data.labels import CITYSCAPES
from jaxseg.data.source import Source


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What is read, and what is made of it."""

    picture: tuple[int, int] = (1024, 2048)
    crop: tuple[int, int] = (512, 1024)
    batch_size: int = 8
    num_pictures: int = 8
    num_batches: int = 16
    step_batch_size: int = 2
    num_steps: int = 6


TINY = Sizes((64, 128), (32, 64), 2, 3, num_batches=4, num_steps=1)


def write_pictures(
    root: pathlib.Path, sizes: Sizes | data_compare.Kind, suffix: str
) -> Source:
    """Writes made pictures and masks of 19 classes, and opens them as a source."""
    rng = np.random.default_rng(0)
    height, width = sizes.picture
    pairs = []
    for i in range(sizes.num_pictures):
        coarse = rng.integers(0, 256, (height // 16, width // 16, 3), dtype=np.uint8)
        smooth = pictures.resize_image(coarse, (height, width))
        noise = rng.normal(0, 3, smooth.shape)
        image = np.clip(smooth + noise, 0, 255).astype(np.uint8)
        ids = np.array(CITYSCAPES.raw_ids, np.uint8)[
            rng.integers(0, 19, (height // 32, width // 32))
        ]
        pair = folder.Pair(
            str(i),
            root / f"leftImg8bit/train/made/made_{i}_leftImg8bit{suffix}",
            root / f"gtFine/train/made/made_{i}_gtFine_labelIds.png",
        )
        for path in (pair.image, pair.label):
            path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(pair.image, quality=95)  # PNG has none
        Image.fromarray(pictures.resize_label(ids, (height, width))).save(pair.label)
        pairs.append(pair)
    return folder.PairSource(pairs, CITYSCAPES)


def measure_decoding(source: Source, *, count: int) -> float:
    """Median seconds to decode one picture and its mask, on one thread."""
    source[0]
    return statistics.median(
        _seconds(lambda i=i: source[i % len(source)]) for i in range(count)
    )


def measure_transform(source: Source, transform, *, count: int) -> float:
    """Median seconds to augment one picture, on one thread."""
    example = source[0]
    return statistics.median(
        _seconds(lambda seed=seed: transform(example, np.random.default_rng(seed)))
        for seed in range(count)
    )


def measure_pipeline(
    source: Source, transform, *, batch_size: int, num_batches: int, **options
) -> dict[str, float]:
    """Reads batches as fast as they come.

    Args:
        source: the pictures.
        transform: the augmentation.
        batch_size: pictures in a batch.
        num_batches: how many to time; the first, with what was read ahead meanwhile,
            are left out.
        **options: of `pipeline.train_batches`, such as loader and num_threads.

    Returns:
        first: seconds to the first batch; median: of seconds a batch after it;
        images_per_second, over all that were timed; cores: processor seconds spent
        in each second of it.
    """
    begin = time.perf_counter()
    with pipeline.train_batches(
        source, transform=transform, seed=0, batch_size=batch_size, **options
    ) as batches:
        next(batches)
        first = time.perf_counter() - begin
        for _ in range(loaders.PREFETCH):
            next(batches)
        start, processor = time.perf_counter(), time.process_time()
        seconds = [_seconds(lambda: next(batches)) for _ in range(num_batches)]
        wall = time.perf_counter() - start
        processor = time.process_time() - processor
    return {
        "first": first,
        "median": statistics.median(seconds),
        "images_per_second": num_batches * batch_size / wall,
        "cores": processor / wall,
    }


def measure_all(sizes: Sizes) -> Iterator[dict[str, object]]:
    """Measures all kinds of file with all loaders; yields the lines to print."""
    transform = transforms.TrainTransform(crop=sizes.crop)
    loaders = [("threads", 1), ("threads", 2)]
    loaders += [("grain", 2)] if extras.installed("grain") else []
    for suffix in (".png", ".jpg"):
        with tempfile.TemporaryDirectory() as root:
            source = write_pictures(pathlib.Path(root), sizes, suffix)
            decoding = measure_decoding(source, count=2 * sizes.num_pictures)
            augmenting = measure_transform(source, transform, count=15)
            yield _line(f"decode {suffix[1:]}", sizes, median=decoding)
            yield _line(f"augment {suffix[1:]}", sizes, median=augmenting)
            single = None
            for loader, num_threads in loaders:
                found = measure_pipeline(
                    source,
                    transform,
                    batch_size=sizes.batch_size,
                    num_batches=sizes.num_batches,
                    loader=loader,
                    num_threads=num_threads,
                )
                single = single or found["images_per_second"]
                yield _line(
                    f"{loader} {num_threads}, {suffix[1:]}",
                    sizes,
                    **found,
                    images_per_second_per_core=found["images_per_second"]
                    / found["cores"],
                    decode_share=decoding / (decoding + augmenting),
                    ratio=found["images_per_second"] / single,
                )


def compare(*, tiny: bool) -> Iterator[dict[str, object]]:
    """Our loaders beside torch's, and augmentation on the device beside the host's."""
    kinds = data_compare.TINY if tiny else data_compare.KINDS
    yield from data_compare.compare(kinds, write_pictures)
    for kind in kinds:
        with tempfile.TemporaryDirectory() as root:
            source = write_pictures(pathlib.Path(root), kind, kind.suffix)
            yield from data_compare.augment_on_device(
                source, kind, repeats=1 if tiny else 5
            )


def measure_step(root: str, sizes: Sizes, config_name: str) -> Iterator[dict]:
    """Feeds a training step with these pictures: how much of the loading it hides."""
    config = train_step.load_config(config_name)
    config["data"] = dict(
        name="cityscapes.Cityscapes",
        root=root,
        form="folder",
        batch_size=sizes.step_batch_size,
        crop=sizes.crop,
        num_threads=os.cpu_count(),
    )
    config |= dict(init_from="", evals={}, num_devices=1)
    if jax.default_backend() == "cpu":
        config["model"]["dtype"] = "float32"
    yield from train_step.run(config, steps=sizes.num_steps)


def _line(what: str, sizes: Sizes, **numbers: float) -> dict[str, object]:
    """One result; `ratio` is to the first loader, a single thread."""
    decoder = "opencv" if extras.installed("cv2") else "pillow"
    return measure.line(
        what, dataclasses.asdict(sizes) | {"reader": decoder}, **numbers
    )


def _seconds(call) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.data")
    parser.add_argument("--tiny", action="store_true", help="small sizes, for tests")
    parser.add_argument(
        "--config",
        default="configs/supervised_cityscapes.py:mobilenet",
        help="whose step is fed, its own data set aside",
    )
    parser.add_argument("--compare", action="store_true", help="only with torch's")
    options = parser.parse_args()
    sizes = TINY if options.tiny else Sizes()
    if not options.compare:
        for line in measure_all(sizes):
            measure.report(line)
    for line in compare(tiny=options.tiny):
        measure.report(line)
    if options.compare:
        return
    with tempfile.TemporaryDirectory() as root:
        write_pictures(pathlib.Path(root), sizes, ".png")
        for line in measure_step(root, sizes, options.config):
            measure.report(line)


if __name__ == "__main__":
    main()
