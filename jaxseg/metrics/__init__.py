"""Metrics: counts on the devices, scores on the host."""
