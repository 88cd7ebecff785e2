"""Metrics: counts on the devices, scores on the host. Read `measure` first."""
