"""Intervals, fold noise, learning curves and calibration: arithmetic on numbers already there."""
