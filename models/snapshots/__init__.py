"""Snapshots and volume snapshots: their rows, and what becomes of them apart from jobs."""
