//! Serves the local socket.
