"""Models in other forms, each of which proves itself against the model it was made from."""
