"""What the scripts of faults share, without anything that a process under test would not load."""

EVENTS = {
    "open",
    "os.link",
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.listdir",
    "shutil.rmtree",
    "ctypes.dlsym",
    "os.chmod",
}
"""Python's audit events of operations on files."""
