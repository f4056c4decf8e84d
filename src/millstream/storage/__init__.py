"""The log on disk: segments of wire frames, and the journals that say how far each channel has come."""
