"""What heads take: batches of cached features, and their normalisation."""
