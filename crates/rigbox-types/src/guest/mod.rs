//! Documents between a host and the agent inside a workspace.
