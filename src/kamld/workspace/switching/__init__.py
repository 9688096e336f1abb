"""Changing a bound folder's files: what is to be done, and doing it so that a kill undoes or finishes it."""
