"""nsqauthd, the authorisation process: it tells an nsqd what a client may do, by the rules in a file."""
