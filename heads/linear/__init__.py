"""Linear heads, solved to convergence instead of trained, without torch; NumPy alone does the work."""
