"""What of the training data gives the test away."""
