"""Training from class labels alone. Settings import no torch; what they run does."""
