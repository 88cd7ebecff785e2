"""The page as a browser shows it: nothing fails, all is drawn, nothing is fetched.

Any Chromium serves: the one that $JAXSEG_BROWSER names, or one that is installed (on
Debian, `apt-get install chromium-headless-shell`). Without one these tests are skipped.
"""

import functools
import http.server
import json
import os
import re
import shutil
import subprocess
import threading

import numpy as np
import pytest

from jaxseg.data.labels import CITYSCAPES, LabelSet
from jaxseg.reporting import metrics_file, page, starts
from tests.reporting.test_page import EVIL, many, record

BROWSERS = (
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "chrome",
)
SIZES = {"desktop": 1280, "phone": 390}

# The page itself forbids scripts, so that another page looks at it through a frame.
PROBE = """<!doctype html><body style="margin:0"><iframe id="f" src="report.html"
style="border:0;width:100%;height:900px"></iframe><pre id="found"></pre><script>
document.getElementById("f").onload = () => {
  const page = document.getElementById("f").contentDocument;
  const size = e => (b => [b.width, b.height])(e.getBoundingClientRect());
  const sizes = s => [...page.querySelectorAll(s)].map(size);
  const style = (s, k) => getComputedStyle(page.querySelector(s))[k];
  const found = {
    images: [...page.images].map(i => [i.naturalWidth, ...size(i)]),
    tables: sizes("table.classes, table.pairs, table.matrix, table.facts"),
    charts: sizes("svg"), curves: sizes("polyline"), bars: sizes(".bar"),
    width: page.documentElement.scrollWidth, frame: innerWidth,
    paper: style("body", "backgroundColor"), ink: style("body", "color"),
    columns: style(".tiles", "gridTemplateColumns").split(" ").length,
    scripts: page.scripts.length,
  };
  document.getElementById("found").textContent = JSON.stringify(found);
};
</script>"""


@pytest.fixture(scope="module")
def browser():
    """The path of a Chromium."""
    named = os.environ.get("JAXSEG_BROWSER")
    found = named or next(filter(None, map(shutil.which, BROWSERS)), None)
    if not found:
        pytest.skip("no browser: install Chromium, or name one in $JAXSEG_BROWSER")
    return found


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A run with all that a report shows, and with names that are not harmless."""
    workdir = tmp_path_factory.mktemp("run")
    names = (EVIL, *CITYSCAPES.names[1:])
    classes = range(CITYSCAPES.num_classes)
    split = dict(seen=tuple(classes[:15]), unseen=tuple(classes[15:]))
    record(workdir, "val", LabelSet(names, CITYSCAPES.palette, **split))
    record(workdir, "many", many(150))
    metrics = metrics_file.MetricsFile(workdir)
    for step in range(1, 60):
        metrics.write(step, "train", {"loss": 1 / step, "learning_rate": 1e-3})
        metrics.write(step, "val", {"evaluation": "val", "mean_iou": step / 60})
    arguments = ["python", "x" * 200, "--config.seed=1"]
    starts.record_start(workdir, versions={"jax": "0.10"}, arguments=arguments)
    (workdir / "config.json").write_text(json.dumps({"seed": 1, "note": "x" * 300}))
    page.write(workdir)
    (workdir / "probe.html").write_text(PROBE)
    return workdir


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *message):
        self.server.paths.append(self.path)


@pytest.fixture(scope="module")
def server(workdir):
    """Serves the run to this machine alone and notes what is asked for."""
    handler = functools.partial(Handler, directory=workdir)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.paths = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def show(browser, address, *options):
    """What a browser makes of an address, and what it writes to its console."""
    command = [
        *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
        *("--enable-logging=stderr", "--virtual-time-budget=5000", *options, address),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    return done.stdout, lines


@pytest.fixture(scope="module", params=SIZES)
def found(request, browser, server):
    """What the probe measures in light, at the width of a desktop or a phone."""
    server.paths.clear()
    text, errors = show(
        browser,
        f"http://127.0.0.1:{server.server_port}/probe.html",
        "--dump-dom",
        f"--window-size={SIZES[request.param]},900",
    )
    (measured,) = re.findall(r'<pre id="found">(.*?)</pre>', text)
    return {"size": request.param, "errors": errors, **json.loads(measured)}


def test_the_console_stays_empty_and_no_script_runs(found):
    assert found["errors"] == [] and found["scripts"] == 0


def test_nothing_is_fetched_but_the_page(found, server):
    assert sorted(set(server.paths)) == ["/probe.html", "/report.html"]


def test_all_pictures_have_loaded_and_are_seen(found):
    assert len(found["images"]) == 2 * 2 * 4 + 1  # and a heat map of 150 classes
    assert np.min(found["images"]) > 20


def test_tables_curves_and_bars_have_a_size(found):
    assert len(found["tables"]) == 2 + 2 + 1 + 2 + 2  # classes, pairs, matrix, facts
    assert np.min(found["tables"]) > 20
    assert len(found["charts"]) == len(found["curves"]) == 3
    assert np.min(found["charts"]) > 100
    assert np.min(found["bars"]) > 10


def test_the_page_is_no_wider_than_its_window(found):
    assert found["frame"] == SIZES[found["size"]]
    assert found["width"] <= found["frame"]
    assert found["columns"] == {"desktop": 4, "phone": 2}[found["size"]]


def brightness(colour):
    return np.mean([float(x) for x in re.findall(r"[\d.]+", colour)[:3]])


def test_light_is_light(found):
    assert brightness(found["paper"]) > 200 > 80 > brightness(found["ink"])


def test_dark_is_dark(browser, server):
    text, errors = show(
        browser,
        f"http://127.0.0.1:{server.server_port}/probe.html",
        *("--dump-dom", "--blink-settings=preferredColorScheme=0"),
    )
    (measured,) = re.findall(r'<pre id="found">(.*?)</pre>', text)
    colours = json.loads(measured)
    assert brightness(colours["paper"]) < 40 < 200 < brightness(colours["ink"])
    assert errors == []


def test_a_fault_of_the_page_would_be_seen(browser, tmp_path):
    forbidden = "<script>alert(1)</script>"
    text = page.render(tmp_path).replace("<main>", f"<main>{forbidden}")
    (tmp_path / "report.html").write_text(text)
    _, errors = show(browser, f"file://{tmp_path}/report.html", "--dump-dom")
    assert len(errors) == 1 and "Content Security Policy" in errors[0]
