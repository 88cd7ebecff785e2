import html.parser
import json
import os
import re
import types
import xml.etree.ElementTree

import numpy as np
import pytest

from jaxseg.data.labels import LabelSet
from jaxseg.metrics import iou
from jaxseg.reporting import metrics_file, page, records, scored, starts
from tests.reporting.test_scored import LABELS, picture

EVIL = '<script>alert("1")</script>'
VOID = {"meta", "link", "img", "line", "polyline", "circle"}


class Parser(html.parser.HTMLParser):
    """Keeps tags, attributes and text; refuses tags that are not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.texts = [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self.open += [] if tag in VOID else [tag]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.texts += [data.strip()] if data.strip() else []


def record(workdir, name="val", labels=LABELS, **given):
    """An evaluation in which every second pixel is taken for the next class."""
    count = labels.num_classes
    confusion = np.eye(count, dtype=np.int64) + np.roll(np.eye(count, dtype=int), 1, 1)
    scores = iou.scores(confusion, seen=labels.seen, unseen=labels.unseen)
    scores |= given.pop("more", {})
    values = dict(step=20, split="val", scores=scores, labels=labels)
    values |= dict(confusion=confusion, worst=[picture()], best=[picture(name="b/c")])
    records.write(workdir, name=name, **{**values, **given})


def read(workdir):
    return Parser(page.render(workdir))


def many(count):
    """Labels with the longest names there are, more classes than `LabelSet` allows."""
    rng = np.random.default_rng(0)
    colours = [tuple(rgb) for rgb in rng.integers(0, 256, (count, 3)).tolist()]
    names = tuple(f"a class of a rather long name, number {i}" for i in range(count))
    return types.SimpleNamespace(
        names=names, palette=colours, num_classes=count, seen=(), unseen=()
    )


def test_the_page_is_well_formed_and_has_its_parts(tmp_path):
    record(tmp_path, "val")
    record(tmp_path, "test")
    found = read(tmp_path)
    for text in ("mIoU", "Classes", "Confusion matrix", "Worst pictures", "sky"):
        assert found.texts.count(text) >= 2, text
    assert found.tags.count("img") == 2 * (4 + 4)
    assert {"b/c", "c"} <= {value for _, value in found.attributes} | set(found.texts)


def test_the_page_needs_nothing_beside_itself(tmp_path):
    record(tmp_path)
    record(tmp_path, "large", many(40))
    found = read(tmp_path)
    links = [v for k, v in found.attributes if k in ("src", "href", "srcset", "data")]
    assert links and all(link.startswith(("data:", "#")) for link in links)
    assert not {"script", "iframe", "object", "base"} & set(found.tags)
    assert not re.search(r"url\(|@import", page.render(tmp_path))


def test_names_are_text_and_never_tags(tmp_path):
    labels = LabelSet((EVIL, "road"), LABELS.palette)
    record(tmp_path, EVIL, labels, worst=[picture(name=EVIL)])
    arguments = ["python", f"--config.{EVIL}={EVIL}"]
    starts.record_start(tmp_path, versions={EVIL: EVIL}, arguments=arguments)
    (tmp_path / "config.json").write_text(json.dumps({"name": EVIL}))
    found = read(tmp_path)
    assert "script" not in found.tags and found.texts.count(EVIL) > 5


def test_pictures_are_inside(tmp_path):
    record(tmp_path)
    inside = page.render(tmp_path).count("data:image/jpeg;base64,/9j/")
    assert inside == len(list((tmp_path / "pictures").iterdir())) == 8


def test_a_picture_that_was_removed_is_left_out(tmp_path):
    record(tmp_path)
    os.remove(tmp_path / "pictures" / "val_0000020_worst_0_truth.jpg")
    assert read(tmp_path).tags.count("img") == 7


def test_every_cell_of_a_small_matrix_says_what_it_is(tmp_path):
    record(tmp_path)
    titles = [value for key, value in read(tmp_path).attributes if key == "title"]
    assert "sky taken for road: 50.0 % (1 pixels)" in titles


def test_a_large_matrix_is_a_picture_and_a_list(tmp_path):
    record(tmp_path, labels=many(page.FULL_MATRIX + 1), worst=[], best=[])
    found = read(tmp_path)
    assert found.tags.count("img") == 1 and "Worst confusions" in found.texts


def test_bars_are_as_long_as_the_scores(tmp_path):
    record(tmp_path)
    bars = re.findall(
        r'class="bar" style="--v:([\d.]+)"><b>([\d.]+)', page.render(tmp_path)
    )
    assert len(bars) == 2 * 3
    assert all(round(100 * float(bar), 2) == float(text) for bar, text in bars)


def test_seen_and_unseen_classes_have_their_column(tmp_path):
    record(tmp_path)
    assert "group" not in read(tmp_path).texts
    labels = LabelSet(LABELS.names, LABELS.palette, seen=(0,), unseen=(1,))
    record(tmp_path, labels=labels)
    assert {"group", "seen", "unseen", "harmonic IoU"} <= set(read(tmp_path).texts)


def test_further_measures_are_shown(tmp_path):
    more = {"boundary_iou": 0.125, "class_boundary_iou": np.array([0.0625, np.nan])}
    record(tmp_path, more={**more, "size_iou": np.array([0.5, 0.25]), "skipped": 3})
    texts = read(tmp_path).texts
    for text in ("boundary iou", "12.50", "6.25", "-", "50.00, 25.00", "3"):
        assert text in texts


def test_evaluations_stand_as_the_config_lists_them(tmp_path):
    for name in ("other", "test", "val"):
        record(tmp_path, name, worst=[], best=[])
    (tmp_path / "config.json").write_text('{"evals": {"val": {}, "test": {}}}')
    found = re.findall(r'href="#evaluation-\d">(\w+)<', page.render(tmp_path))
    assert found == ["val", "test", "other"]


def test_curves_are_whole_drawings(tmp_path):
    metrics = metrics_file.MetricsFile(tmp_path)
    for step in (1, 2, 3):
        metrics.write(step, "train", {"loss": 1 / step, EVIL: step})
        metrics.write(step, "val", {"evaluation": "val", "mean_iou": step / 4})
    drawings = re.findall(r"<svg.*?</svg>", page.render(tmp_path), re.DOTALL)
    assert len(drawings) == 3
    for drawing in drawings:
        tree = xml.etree.ElementTree.fromstring(drawing)
        (line,) = tree.iter("{http://www.w3.org/2000/svg}polyline")
        assert len(line.get("points").split()) == 3


def test_the_run_says_how_it_was_started(tmp_path):
    versions = {"jax": "0.10.2", "devices": ["H100", "H100"]}
    for value in range(30):
        arguments = ["python", "train.py", f"--config.seed={value}"]
        starts.record_start(tmp_path, versions=versions, arguments=arguments)
    texts = read(tmp_path).texts
    for text in ("changed: seed", "29", "2 x H100"):
        assert text in texts
    listed = [text for text in texts if text.startswith("python train.py")]
    numbers = [int(text.split("=")[1]) for text in listed]
    assert numbers == [*range(29, 29 - page.MOST_STARTS, -1)]


def test_an_empty_folder_makes_a_page_that_says_so(tmp_path):
    assert "No evaluation was recorded yet." in read(tmp_path).texts


def test_the_page_is_exchanged_as_a_whole(tmp_path, monkeypatch):
    record(tmp_path)
    page.write(tmp_path)
    before = (tmp_path / page.FILE).read_bytes()
    monkeypatch.setattr("os.replace", lambda *names: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        page.write(tmp_path)
    assert (tmp_path / page.FILE).read_bytes() == before


@pytest.mark.parametrize("count", [page.FULL_MATRIX, 919])
def test_the_size_of_the_page_is_bounded(tmp_path, count):
    rng = np.random.default_rng(0)
    labels, size = many(count), (700, 900)
    noise = scored.ScoredPicture(
        name="noise",
        score=0.1,
        image=rng.integers(0, 256, (*size, 3), np.uint8),
        truth=rng.integers(0, count, size),
        prediction=rng.integers(0, count, size),
    )
    confusion = rng.integers(1, 10**6, (count, count))
    record(
        tmp_path,
        labels=labels,
        confusion=confusion,
        worst=[noise] * 9,
        best=[noise] * 9,
    )
    metrics = "".join(
        json.dumps({"step": i, **{f"loss_{k}": rng.random() for k in range(30)}}) + "\n"
        for i in range(1000)
    )
    (tmp_path / "metrics.jsonl").write_text(metrics)
    size = len(page.render(tmp_path).encode())
    assert size < page.BYTES_PER_EVALUATION + page.BYTES_BESIDES
