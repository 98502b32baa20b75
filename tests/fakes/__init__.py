"""Stand-ins for foreign libraries, one file for each."""
