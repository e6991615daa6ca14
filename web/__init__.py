"""The HTTP API: it reads rows, hands requests to the Producer, and never waits for a worker."""
