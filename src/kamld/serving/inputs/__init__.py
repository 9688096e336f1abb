"""Files as people have them, brought to the type and shape that a model's inputs expect."""
