//! The agent inside a workspace.
