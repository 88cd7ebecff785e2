"""PyTrees that remember from one step to the next."""
