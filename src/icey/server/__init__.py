"""The server: HTTP, WebSocket, and the life of the process."""
