"""The fusion variants that are trained with torch, a file a family."""
