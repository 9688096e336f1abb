"""What a commit of a folder is to be, and how it lands."""
