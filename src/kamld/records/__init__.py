"""Plain data that rooms pass each other and that a hub keeps: no input, no output, no behaviour.

Kept as canonical JSON: UTF-8, keys sorted, no white space, absent optional fields left out.
docs/format.md specifies each; a field may be added, never renamed or given another meaning.
"""
