"""Class frequencies: of a source, and as a README beside the pictures prints them."""

import numpy as np


def shares_of(source):
    """Shares of all pixels and numbers of pictures by train id: two arrays [256]."""
    pixels, pictures = np.zeros(256, np.int64), np.zeros(256, np.int64)
    for i in range(len(source)):
        counts = np.bincount(source[i]["label"].ravel(), minlength=256)
        pixels += counts
        pictures += counts > 0
    return pixels / pixels.sum(), pictures


def published_shares(readme, split, *, void=255):
    """{train id: (share, number of pictures)} of a table "| id | class | ... |"."""
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in readme.splitlines()
    ]
    header = next(row for row in rows if f"{split} share" in row)
    share = header.index(f"{split} share")
    found = {}
    for row in rows:
        if len(row) == len(header) and row[0].isdecimal():
            train_id = 255 if int(row[0]) == void else int(row[0])
            found[train_id] = (float(row[share]), int(row[share + 1]))
    return found
