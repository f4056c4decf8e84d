"""`millstream bench`: brokers and clients under the same loads on the same machine, side by side.

`service` takes turns, `catalogue` lists the workloads, `goals` says what is wanted; docs/performance.md says how to
read what comes out.
"""
