"""The gateway: an app's calls to a large model go through it unchanged, and are kept as rows of its steps."""
