"""Offline jobs, each `python -m jaxseg.tools.<job>`."""
