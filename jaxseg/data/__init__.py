"""Pictures and labels: data sets, augmentation, and batches for the trainer."""
