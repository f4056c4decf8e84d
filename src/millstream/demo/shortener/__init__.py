"""The service that shortens links, redirects visitors, and writes an event for each of them."""
