"""The commands of the console script `connflow`, a module for each group."""
