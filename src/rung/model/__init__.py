"""The reward model itself, shared by train and score: trunk and head, rendering, checkpoints."""
