"""nsq_to_file: writes topics to files, and finishes a message only when its record is on the disk."""
