"""What a result says of the model, the rows and the search."""
