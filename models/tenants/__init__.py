"""Domains, accounts and keys: who sees what, and how much they may have."""
