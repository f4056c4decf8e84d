"""Sockets, and nothing of NSQ: listening, and HTTP/1.1 in both directions."""
