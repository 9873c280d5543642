"""The web app: the bundle in a folder that any server of files can serve."""
