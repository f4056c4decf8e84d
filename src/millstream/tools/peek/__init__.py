"""`millstream peek`: shows the messages of a channel without taking them."""
