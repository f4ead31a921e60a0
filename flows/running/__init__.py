"""How a flow runs: where its steps are executed, and what it shows, returns and records."""
