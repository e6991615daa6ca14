"""What a policy says, and the arithmetic of when it fires and what it keeps. Pure: no clock, no database."""
