//! Looking people up to share something with.
//! Invariant: nobody but the operator finds somebody whom they neither know by their whole address
//! nor share the thing with already; an address that nobody has is answered like one of somebody who
//! is disabled.

use std::collections::BTreeMap;

use rigbox_store::people::PersonRow;
use rigbox_types::{
    Email, access::PrincipalRef, api::access::PrincipalLookupResult, authz::Standing,
};

use super::Thing;
use crate::{control::Control, error::ApiResult};

/// Those whom `query` finds, by address.
pub(super) async fn list(
    control: &Control,
    (of, standing): (&Thing, Standing),
    (query, limit): (&str, u32),
) -> ApiResult<Vec<PrincipalLookupResult>> {
    let query = query.trim_matches(' ').to_lowercase();
    let people = control.store.people();
    let mut found: Vec<PersonRow> = people.of_resource(&of.at).await?;
    found.extend(owner(control, of).await?);
    found.retain(|person| begins(person, &query));
    if standing == Standing::Operator {
        found.extend(people.by_prefix(&query, limit).await?);
    } else if let Ok(email) = query.parse::<Email>() {
        found.extend(people.by_email(&email).await?);
    }
    let by_email: BTreeMap<_, _> =
        found.into_iter().map(|person| (person.email.clone(), person)).collect();
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    Ok(by_email.into_values().take(most).map(view).collect())
}

async fn owner(control: &Control, of: &Thing) -> ApiResult<Option<PersonRow>> {
    let row = control.store.accounts().get(of.owner).await?;
    let profile = row.profile;
    Ok(profile.email.filter(|_| profile.disabled_at.is_none()).map(|email| PersonRow {
        account: row.id,
        email,
        display_name: profile.display_name,
    }))
}

fn begins(person: &PersonRow, query: &str) -> bool {
    let name = person.display_name.as_deref().unwrap_or_default().to_lowercase();
    person.email.as_str().starts_with(query)
        || name.starts_with(query)
        || PrincipalRef::User(person.account).to_string().starts_with(query)
}

fn view(row: PersonRow) -> PrincipalLookupResult {
    PrincipalLookupResult {
        principal: PrincipalRef::User(row.account),
        user_id: row.account,
        email: row.email,
        display_name: row.display_name,
    }
}
