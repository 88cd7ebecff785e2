"""What a run prints, and writes beside its checkpoints; read `report.Report` first.

- train.log: what was printed
- metrics.jsonl: one JSON object a line: step, split, numbers
- parameters.txt: their names, shapes and sizes
- evaluations/: the newest result of each, whole
- pictures/: image | truth | prediction | error of evaluations
- report.html: all of it as one page
- starts.jsonl: how the run was started, each time
- tensorboard/: the same for TensorBoard, where CLU and tensorboard are installed
"""

from jaxseg.reporting.logs import log_failure, setup_logging
from jaxseg.reporting.progress import Part
from jaxseg.reporting.report import Report
from jaxseg.reporting.scored import ScoredPicture
from jaxseg.reporting.starts import FILE as STARTS
from jaxseg.reporting.starts import record_start

__all__ = [
    "STARTS",
    "Part",
    "Report",
    "ScoredPicture",
    "log_failure",
    "record_start",
    "setup_logging",
]
