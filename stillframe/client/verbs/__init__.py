"""The verbs of the API, each as the request it makes. `awaited` holds the same for `await`, made from these files."""
