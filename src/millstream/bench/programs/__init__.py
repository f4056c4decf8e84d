"""Clients as programs: `PROGRAM HOST:PORT TOPIC CHANNEL [MODE] MESSAGES`, one line of JSON when they are done.

`workloads.clients` starts each by its path, those of other clients with the interpreter that has them: they import
nothing of ours.
"""
