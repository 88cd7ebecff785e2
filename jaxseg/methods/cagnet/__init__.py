"""CaGNet: features of unseen classes synthesised from word vectors."""
