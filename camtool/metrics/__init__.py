"""Localization and classification figures: pure functions of predictions and annotations."""
