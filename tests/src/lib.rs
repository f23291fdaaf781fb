//! Whole-product tests and the kit they share.
