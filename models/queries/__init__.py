"""The read side: SQL for lists and details, in the words of the HTTP contract."""
