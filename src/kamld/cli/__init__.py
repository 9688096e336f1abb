"""The command line: one file a verb. It parses, calls a room, and shows what came back."""
