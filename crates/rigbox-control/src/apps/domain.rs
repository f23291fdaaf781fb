//! Whether an app's custom domain leads here.
//! Invariants: it does where its name leads, by CNAME records, to the app's own name, or where its
//! addresses are those of the edge, and no other app's name is on the way; only what was looked up now
//! makes it verified, and what does not lead here any longer unverified.
//! Does not order certificates.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use axum::{Json, extract::State};
use rigbox_types::api::apps::VerifyDomainResponse;

use super::{app, dns, view::Warned};
use crate::{
    control::Control,
    edges::route::host_name,
    error::{ApiError, ApiResult},
    http::access::ForApp,
    source::now,
};

/// When to ask again where the resolver does not answer.
const RETRY_S: u32 = 5;

/// Looks it up.
pub(crate) async fn app_domain_verify(
    State(control): State<Arc<Control>>,
    about: ForApp,
) -> ApiResult<Warned<Json<VerifyDomainResponse>>> {
    let Some(domain) = about.row.published.custom_domain.clone() else {
        return Err(ApiError::conflict("this app has no custom domain: set one first"));
    };
    let config = &control.config.edge;
    let resolver = config.resolver.unwrap_or_else(dns::of_machine);
    let expected = host_name(&about.row.published.name, config);
    let silent =
        |error| ApiError::unavailable("the DNS resolver does not answer", RETRY_S).because(error);
    let found = dns::follow(resolver, &domain).await.map_err(silent)?;
    let mut ours: BTreeSet<IpAddr> = config.addresses.iter().copied().collect();
    if !found.names.contains(&expected) && !found.addresses.is_empty() {
        let own = dns::follow(resolver, &expected).await.map_err(silent)?;
        ours.extend(own.addresses);
    }
    // All of them: a visitor is led to any.
    let below = format!(".{}", config.domain);
    let is_others = |name: &String| *name != expected && name.ends_with(&below);
    let leads = !found.addresses.is_empty()
        && found.addresses.is_subset(&ours)
        // Whoever set that meant somebody else's app, whose addresses are the same.
        && !found.names.iter().any(is_others);
    let verified = found.names.contains(&expected) || leads;
    let changed = app::change(&control, &about.id, |row, is| {
        // Another domain may have been set meanwhile.
        if row.published.custom_domain.as_deref() == Some(domain.as_str()) {
            is.domain_verified = verified;
        }
        Ok(())
    });
    let row = changed.await?;
    let warning = control.edges.effective(row.revision).await;
    let addresses = found.addresses.iter().map(IpAddr::to_string);
    let document = VerifyDomainResponse {
        verified: row.published.verified() == Some(domain.as_str()),
        expected,
        found: found.names.iter().cloned().chain(addresses).collect(),
        checked_at: now(),
    };
    Ok(Warned(Json(document), warning))
}
