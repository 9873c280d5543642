"""Boards: measuring a bundle on one over ssh, and judging from afar whether it fits (docs/devices.md)."""
