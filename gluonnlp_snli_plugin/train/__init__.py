"""Fine-tuning: settings, the loop, the optimizer, devices, and what a run leaves behind."""
