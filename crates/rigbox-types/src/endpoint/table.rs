//! The rows, one file for each half of the API.

mod accounts;
mod workspaces;

use super::Endpoint;

const COUNT: usize = workspaces::ENDPOINTS.len() + accounts::ENDPOINTS.len();

/// Every endpoint of the API.
pub const ENDPOINTS: &[Endpoint] = &joined(workspaces::ENDPOINTS, accounts::ENDPOINTS);

/// Both halves, one behind the other.
#[expect(clippy::indexing_slicing, reason = "it is evaluated when this is compiled")]
const fn joined(first: &[Endpoint], second: &[Endpoint]) -> [Endpoint; COUNT] {
    let mut all = [first[0]; COUNT];
    let mut n = 0;
    while n < COUNT {
        all[n] = if n < first.len() { first[n] } else { second[n - first.len()] };
        n += 1;
    }
    all
}
