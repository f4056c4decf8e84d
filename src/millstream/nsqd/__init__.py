"""The broker process: sockets and HTTP in front of the engine, files behind it."""
