"""Files that are made from the code, so that nothing is written twice: `make made` writes them, a test compares them."""
