"""Decisions, pure functions of records and held-out predictions: races, stopping, finalists, shares."""
