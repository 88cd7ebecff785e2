"""Processor time and memory of this process with its workers, from Linux's /proc."""

import os
import pathlib

TICKS = os.sysconf("SC_CLK_TCK")


def members() -> list[pathlib.Path]:
    """The /proc folders of this process and of all that descend from it."""
    parents = {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        fields = _fields(folder)
        if fields:
            parents[int(folder.name)] = int(fields[1])
    found = [os.getpid()]
    for pid in found:  # grows meanwhile
        found += [child for child, parent in parents.items() if parent == pid]
    return [pathlib.Path(f"/proc/{pid}") for pid in found]


def processor_seconds() -> float:
    """Spent by those that are alive, since each began."""
    ticks = 0
    for folder in members():
        fields = _fields(folder)
        ticks += int(fields[11]) + int(fields[12]) if fields else 0
    return ticks / TICKS


def resident_mb(folders: list[pathlib.Path]) -> float:
    """Memory in use by some processes; shared pages are split between all users."""
    kilobytes = 0
    for folder in folders:
        try:
            lines = (folder / "smaps_rollup").read_text().splitlines()
        except OSError:
            continue  # ended meanwhile
        kilobytes += sum(int(line.split()[1]) for line in lines if "Pss:" in line)
    return kilobytes / 1024


def _fields(folder: pathlib.Path) -> list[str]:
    """What /proc/PID/stat says after the name, which may hold anything."""
    try:
        return (folder / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
