"""Backbones: each maps images to a tuple of stages, shallow to deep."""
