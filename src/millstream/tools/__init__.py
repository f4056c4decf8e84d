"""NSQ's utilities, one package each: readers and writers for people and scripts, on top of `millstream.client`."""
