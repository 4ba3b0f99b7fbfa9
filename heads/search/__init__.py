"""The variant `auto`: which of the others to fit, chosen inside train and dev."""
