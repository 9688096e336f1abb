"""Putting a version's files on a disk: which paths may be written there, and how without leaving it."""
