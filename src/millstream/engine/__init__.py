"""What a broker decides: topics, channels, who gets which message, and when it is given out again. No I/O in here."""
