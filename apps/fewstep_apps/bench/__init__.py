"""`fewstep bench --device web`: any phone in the room as a device."""
