"""The loads, one per module. Each has a plan that is sent to a process of its own (`bench.load`) and built there."""
