"""The service that counts spam decisions."""
