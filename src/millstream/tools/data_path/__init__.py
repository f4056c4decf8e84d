"""`millstream log`: shows a data path of nsqd offline, verifies it, and dumps messages. It changes nothing."""
