"""Training encoders: samples decoded once to disk, the trainees, the loop, and checkpoints to go on from."""
