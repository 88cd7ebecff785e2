"""Heads: each maps the stages of a backbone to features."""
