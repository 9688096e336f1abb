"""What a version's entry is, as trees say it."""

FILE, EXECUTABLE, SYMLINK, FOLDER = 0, 1, 2, 3  # FOLDER only where it is empty
