//! The trampoline by itself.
