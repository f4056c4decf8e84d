"""The service that decides which links are spam."""
