"""What a change is for people, and how two are joined: differences of versions, merges, checks."""
