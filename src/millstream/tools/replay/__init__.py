"""`millstream replay`: gives a channel messages once more, from the log of nsqd or from archives."""
