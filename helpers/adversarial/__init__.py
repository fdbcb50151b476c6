"""What adversarial learning stands on: divergences that a critic can estimate."""
