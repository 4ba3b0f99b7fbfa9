"""Signs of mistakes in how a corpus was put together: measures in closed form, one module for each."""
