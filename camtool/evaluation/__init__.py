"""Scoring a run against annotations: join, judge, sweep thresholds, calibrate, tell."""
