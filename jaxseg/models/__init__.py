"""Networks: a segmentor is a backbone, a head and a classifier."""
