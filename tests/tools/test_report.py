import pytest

from jaxseg import reporting
from jaxseg.tools import report
from tests.reporting.test_report import LABELS, SCORES


def test_the_page_is_made_anew(tmp_path, capsys):
    with reporting.Report(tmp_path, is_main=True) as run:
        run.scores(4, "val", SCORES, LABELS, split="val")
    path = tmp_path / "report.html"
    before = path.read_text()
    path.unlink()
    report.main(["--workdir", str(tmp_path)])
    assert path.read_text() == before and str(path) in capsys.readouterr().out


def test_a_folder_of_no_run_is_named(tmp_path):
    with pytest.raises(SystemExit, match="no metrics.jsonl"):
        report.main(["--workdir", str(tmp_path)])
    assert not list(tmp_path.iterdir())
