"""The methods: `base` is the seam to the trainer, any other file one idea."""
