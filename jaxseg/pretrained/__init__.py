"""Published weights: read, renamed and fitted to our networks."""
