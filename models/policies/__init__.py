"""Policies as rows: which are due, what fell to which VM, and what is pruned."""
