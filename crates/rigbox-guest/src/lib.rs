//! The agent inside a workspace, and the host's half of its protocol.
