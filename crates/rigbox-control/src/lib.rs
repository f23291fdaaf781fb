//! The API: who may ask for what, and what the store says of it.
