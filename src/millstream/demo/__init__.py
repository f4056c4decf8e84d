"""The reference system: a link shortener whose every click is an event, run by `millstream demo`."""
