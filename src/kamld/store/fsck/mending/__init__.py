"""Putting a damaged hub right: with what it has itself, and with what other places have."""
