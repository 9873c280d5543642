"""The kit for a Jetson: engines built on the board, a page, a command and a service (docs/devices.md)."""
