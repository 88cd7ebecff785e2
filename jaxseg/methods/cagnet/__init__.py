"""CaGNet: features of classes that no picture shows, made from their names."""
