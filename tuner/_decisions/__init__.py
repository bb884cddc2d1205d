"""What is decided from records, by pure functions: objective, races, stopping, finalists, shares."""
