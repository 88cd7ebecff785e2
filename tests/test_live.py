import threading

import pytest

from jaxseg import live, plots
from jaxseg.reporting import metrics_file

IPython = pytest.importorskip("IPython.display")


class Shown:
    """A cell's output: all pictures that it held, one after the other."""

    def __init__(self):
        self.widths, self.changed = [], threading.Event()

    def display(self, picture, *, display_id):
        self.update(picture)
        return self

    def update(self, picture):
        self.widths.append(picture.width)
        self.changed.set()


@pytest.fixture
def shown(monkeypatch):
    cell = Shown()
    monkeypatch.setattr(IPython, "display", cell.display)
    return cell


def plot_widths(count):
    return int(count * plots.WIDTH * plots.DOTS)


def test_what_a_run_logs_appears_while_it_trains(shown, tmp_path):
    log = metrics_file.MetricsFile(tmp_path)
    with live.curves(tmp_path, names=("loss", "mean_iou"), seconds=0.01):
        log.write(1, "train", {"loss": 2.0})
        log.write(1, "val", {"mean_iou": 0.5})
        while shown.widths[-1] < plot_widths(2):
            shown.changed.clear()
            assert shown.changed.wait(60)


def test_the_last_picture_has_all(shown, tmp_path):
    log = metrics_file.MetricsFile(tmp_path)
    with live.curves(tmp_path, seconds=1e6):
        log.write(1, "train", {"loss": 2.0, "contrast": 1.0})
    assert shown.widths == [plot_widths(1), plot_widths(2)]


def test_an_error_in_training_ends_the_drawing(shown, tmp_path):
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError), live.curves(tmp_path, seconds=1e6):
        1 / 0  # noqa: B018
    assert threading.active_count() == before


def test_an_error_in_drawing_is_not_lost(shown, tmp_path, monkeypatch):
    with (
        pytest.raises(OSError, match="gone"),
        live.curves(tmp_path, seconds=0.01),
    ):
        failed = threading.Event()

        def read(workdir):
            failed.set()
            raise OSError("gone")

        monkeypatch.setattr(metrics_file, "read", read)
        assert failed.wait(60)
