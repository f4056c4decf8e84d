"""Runs a whole system on this machine: daemons, web apps and queuereaders as processes (`millstream up`)."""
