"""One SCIM load over HTTP against the gateway and, in the same run, against four other servers.

`make bench-scim` installs the others into .peers/ and runs it.
"""
