//! The OpenAPI document beside the contract with compatible clients.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests fail loudly: a panic there is the report"
)]

mod contract;
mod differences;
mod shapes;
