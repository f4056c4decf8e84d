"""`millstream torture`: publishers, consumers and operators around an nsqd that is killed again and again."""
