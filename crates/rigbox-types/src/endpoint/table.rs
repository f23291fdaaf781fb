//! The rows, one file for each part of the API.

mod accounts;
mod ai;
mod apps;
mod workspaces;

use super::Endpoint;

const PARTS: [&[Endpoint]; 4] =
    [workspaces::ENDPOINTS, apps::ENDPOINTS, accounts::ENDPOINTS, ai::ENDPOINTS];

const COUNT: usize = PARTS[0].len() + PARTS[1].len() + PARTS[2].len() + PARTS[3].len();

/// Every endpoint of the API.
pub const ENDPOINTS: &[Endpoint] = &joined();

/// All parts, one behind the other.
#[expect(clippy::indexing_slicing, reason = "it is evaluated when this is compiled")]
const fn joined() -> [Endpoint; COUNT] {
    let mut all = [PARTS[0][0]; COUNT];
    let (mut n, mut part, mut at) = (0, 0, 0);
    while n < COUNT {
        if at == PARTS[part].len() {
            part += 1;
            at = 0;
        } else {
            all[n] = PARTS[part][at];
            n += 1;
            at += 1;
        }
    }
    all
}
