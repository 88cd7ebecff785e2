"""Makes `report.html` of a work folder anew, from what its evaluations left there.

python -m jaxseg.tools.report --workdir runs/quickstart
"""

import argparse
import os
import sys
from collections.abc import Sequence

from jaxseg.reporting import page


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the command line and writes the page.

    Args:
        arguments: in place of the command line's.
    """
    parser = argparse.ArgumentParser(
        prog="python -m jaxseg.tools.report", description=__doc__
    )
    parser.add_argument("--workdir", required=True, help="folder of the run")
    workdir = parser.parse_args(arguments).workdir
    if not os.path.exists(os.path.join(workdir, "metrics.jsonl")):
        sys.exit(
            f"{workdir} has no metrics.jsonl: it is not the work folder of a run that "
            "was trained or evaluated"
        )
    print(f"wrote {page.write(workdir)}")


if __name__ == "__main__":
    main()
