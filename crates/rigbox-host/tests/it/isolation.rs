//! Two workspaces and an internet that stands in.
