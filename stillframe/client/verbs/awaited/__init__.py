"""The verbs to be awaited. Every file here is made from its namesake in `verbs` by `make made`."""
