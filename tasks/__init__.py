"""The steps as cached Prefect tasks: open inputs by ref, call connflow, write, return a ref."""
