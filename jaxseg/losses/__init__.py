"""Losses: pure functions that methods share."""
