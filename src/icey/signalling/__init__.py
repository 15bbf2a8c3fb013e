"""Symple v4: peers, rooms, the routing of messages, and calls.

Pure: nothing here reads a clock, a socket or a file. The caller passes ``now`` in
(seconds, from any monotonic clock) and carries out the actions that come back.
"""
