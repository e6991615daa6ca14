"""People as rows: who they are, their passwords, their logins, and how often a login may fail."""
