//! Apps as code in a workspace sees them: those of this workspace.
//! Invariant: an answer is short enough for the gateway of a workspace, which hands it on whole.

use rigbox_types::{
    AppId, Authorised, WorkspaceId,
    api::apps::{App, ListAppsResponse},
};
use serde::Deserialize;

use super::view;
use crate::{
    control::Control,
    error::{ApiError, ApiResult},
};

/// Most bytes of the apps of one answer: half of what the gateway takes. One app has under 64 KiB.
const APPS_MAX_BYTES: usize = 512 * 1024;

/// The query.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    cursor: Option<AppId>,
}

/// `GET /rig/v1/apps`: newest first; the cursor is the last app of the page before.
pub(crate) async fn apps_list(
    control: &Control,
    id: &Authorised<WorkspaceId>,
    query: Option<&str>,
) -> ApiResult<ListAppsResponse> {
    let query: Query = serde_urlencoded::from_str(query.unwrap_or_default()).map_err(|_| {
        ApiError::request("the query takes cursor, which the page before has named")
    })?;
    let rows = control.store.apps().of_workspace(id.target()).await?;
    // As the list of an account has them.
    let newest_first = rows.iter().rev();
    let after = newest_first.clone().position(|row| Some(&row.id) == query.cursor.as_ref());
    let skipped = match (&query.cursor, after) {
        (None, _) => 0,
        (Some(_), Some(at)) => at.saturating_add(1),
        (Some(_), None) => return Err(ApiError::field("cursor", "names no app of a page before")),
    };
    // Who may look at an app is between its owner and them.
    let shown = |row| App { allowed_emails: Vec::new(), ..view::app(control, row) };
    Ok(cut(newest_first.skip(skipped).map(shown), APPS_MAX_BYTES))
}

/// As many as have room, and at least one.
fn cut(all: impl Iterator<Item = App>, room: usize) -> ListAppsResponse {
    let (mut apps, mut left): (Vec<App>, _) = (Vec::new(), room);
    for app in all {
        // What cannot be written as JSON does not exist among its fields.
        let size = serde_json::to_vec(&app).map_or(0, |text| text.len());
        if size > left && !apps.is_empty() {
            let next_cursor = apps.last().map(|app| app.id.to_string());
            return ListAppsResponse { apps, next_cursor };
        }
        left = left.saturating_sub(size);
        apps.push(app);
    }
    ListAppsResponse { apps, next_cursor: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_what_fits_and_says_where_the_next_one_begins() {
        let app = |n: u8| -> App {
            let id = AppId::from_random([n; 8]);
            serde_json::from_value(serde_json::json!({
                "id": id, "name": "a", "subdomain": "a", "url": null, "workspace_id": "ws-aaaaaaaa",
                "user_id": "00000000-0000-4000-8000-000000000000", "node_id": "host-aaaaaaaa",
                "app_kind": "service", "port": 3000, "protocol": "http", "status": "active",
                "visibility": "private", "allowed_emails": [], "custom_domain": null,
                "custom_domain_verified": false, "description": null, "metadata": {},
                "managed": false, "depends_on": [], "system_tags": [],
                "created_at": "2026-11-30T00:00:00Z", "updated_at": "2026-11-30T00:00:00Z",
            }))
            .unwrap()
        };
        let size = serde_json::to_vec(&app(1)).unwrap().len();
        let check = |room, expected: usize| {
            let page = cut((1..=3).map(app), room);
            assert_eq!(page.apps.len(), expected, "{room}");
            let last = page.apps.last().map(|app| app.id.to_string());
            assert_eq!(page.next_cursor, last.filter(|_| expected < 3));
        };
        check(0, 1);
        check(size, 1);
        check(2 * size, 2);
        check(3 * size, 3);
        assert_eq!(cut(std::iter::empty(), 0).next_cursor, None);
    }
}
