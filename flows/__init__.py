"""The flows: compositions of cached tasks, each called as a function, from the CLI or deployed."""
