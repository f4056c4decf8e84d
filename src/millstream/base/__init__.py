"""What every part stands on: errors, clocks, options, units, log events and statistics. Imports nothing of ours."""
