"""Devices, ranks and what connects them."""
