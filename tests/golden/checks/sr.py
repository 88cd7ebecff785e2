"""Checks against the code of Self-Regulation, a file per family."""

from tests.golden.checks.sr_networks import (  # noqa: F401
    bottleneck_caffe,
    exit_shapes_official,
    head_exit,
    head_final,
    resize_pool_label,
)
