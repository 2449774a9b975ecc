"""The settings of runs."""
