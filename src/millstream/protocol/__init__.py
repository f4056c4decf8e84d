"""The shapes of NSQ on the wire: bytes to values and values to bytes, without any I/O."""
