"""Training encoders: samples decoded once to disk, the loop, and checkpoints to go on from."""
