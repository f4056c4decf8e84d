"""What is done to a broker, one function per workload: it takes a `Trial` and returns an `Outcome`."""
