"""Who computes a run: MXNet or XLA."""
