"""What a run prints, and writes beside its checkpoints; read `report.Report` first.

- train.log: what was printed
- metrics.jsonl: one JSON object a line: step, split, numbers
- parameters.txt: their names, shapes and sizes
- pictures/: image | truth | prediction | error of evaluations
- tensorboard/: the same for TensorBoard, where CLU and tensorboard are installed
"""

from jaxseg.reporting.logs import log_failure, setup_logging
from jaxseg.reporting.report import Report

__all__ = ["Report", "log_failure", "setup_logging"]
