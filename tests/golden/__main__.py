"""Runs every golden case below a folder.

    python -m tests.golden                          # the cases in this repository
    python -m tests.golden ~/cases pico cagnet      # those of two systems elsewhere

Prints a line per check, then what failed and why, then `N passed, N failed`; the exit
code is 1 if any case failed or there was none.
"""

import argparse
import pathlib
import sys

from tests.golden import runner


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.golden")
    parser.add_argument("root", nargs="?", type=pathlib.Path, default=runner.ROOT)
    parser.add_argument("systems", nargs="*", metavar="system")
    arguments = parser.parse_args()
    results = runner.run_all(arguments.root, arguments.systems)
    print(runner.table(results))
    return 0 if results and all(result.passed for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
