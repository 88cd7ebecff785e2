"""Golden cases: numbers of the methods' own code, compared with ours.

`python -m tests.golden [ROOT [SYSTEM ...]]`; see `runner.run_all` and
docs/methods/golden.md.
"""
