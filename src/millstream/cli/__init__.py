"""One module per command: arguments become options, the service runs, its status is returned. No logic in here."""
