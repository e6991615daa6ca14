"""Webhooks as rows: where events are to be sent, and how each sending went."""
