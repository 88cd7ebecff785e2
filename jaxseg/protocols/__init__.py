"""Evaluation protocols: how a network is shown pictures, and its answers put together.

Read `base.Protocol` first. A config names one by its path below this package,
`protocol=dict(name="sliding.Sliding", window=(512, 512))`, and an inner one likewise.
"""
