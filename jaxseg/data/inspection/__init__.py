"""Looks at a folder of pictures and masks before anyone trains on it.

`inspect` reads every file once and returns what is wrong with them. Read it first, then
`evidence` (what is read) and the modules of checks: files, pictures, ids, duplicates.
"""

from jaxseg.data.inspection.evidence import Evidence, gather
from jaxseg.data.inspection.finding import LEVELS, Finding
from jaxseg.data.inspection.inspect import Inspection, inspect

__all__ = ["LEVELS", "Evidence", "Finding", "Inspection", "gather", "inspect"]
