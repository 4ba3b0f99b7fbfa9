"""How the trained variants are trained: tensors, batches, losses, the balance of the tasks, groups of seeds."""
