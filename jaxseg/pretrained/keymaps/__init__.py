"""How publishers name the arrays of each family of networks: a file a family."""
