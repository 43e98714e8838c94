"""Products of an input with weights that walk only over what is not zero."""
