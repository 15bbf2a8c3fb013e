"""Symple v4: who is here, who may speak to whom, and the calls between them.

Pure: nothing here reads a clock, a socket or a file. The caller passes ``now`` in
(seconds, from any monotonic clock) and carries out the actions that come back.
"""
