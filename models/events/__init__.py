"""What happened, in the order of commits."""
