"""A run that was stopped or killed: checkpoints, and how it is resumed."""
