//! The host agent: records, plans and steps that make a workspace what it should be.
