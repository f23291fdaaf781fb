//! Pages: the query's two parameters as the store takes them. Cursors are the store's own.

use rigbox_store::PageRequest;

use crate::http::params::Params;

/// Which page a request asks for.
pub(crate) fn page_request(params: &Params) -> PageRequest {
    PageRequest {
        limit: params.number("max_results"),
        cursor: params.text("cursor").map(str::to_owned),
    }
}
