//! Share links: whoever has one may visit one app until it ends.
//! Invariants: the secret is in the answer that makes a link and nowhere else; a link that is taken back
//! lets nobody in any more once edges have put that into effect.

use std::sync::Arc;

use axum::{Json, extract::State};
use rigbox_store::share_links::ShareLinkRow;
use rigbox_types::{
    Principal, ShareLinkId, Timestamp,
    api::{
        apps::{
            AppKind, CreateShareLinkRequest, ListShareLinksResponse, ShareLink,
            ShareLinkSecretResponse,
        },
        workspaces::MessageResponse,
    },
    limits::{SHARE_LINK_DAYS_DEFAULT, SHARE_LINK_DAYS_MAX},
    text::Title,
};
use secrecy::SecretString;

use super::view::Warned;
use crate::{
    control::Control,
    edges::{
        new_secret,
        route::{host_name, origin},
    },
    error::{ApiError, ApiResult},
    http::{
        access::{ForApp, LinkId},
        body::Document,
        made::Made,
    },
    source::random,
};

const DAY_MICROS: i64 = 24 * 3_600 * 1_000_000;

/// Lists.
pub(crate) async fn app_link_list(
    State(control): State<Arc<Control>>,
    about: ForApp,
) -> ApiResult<Json<ListShareLinksResponse>> {
    let rows = control.store.share_links().list(about.id.target()).await?;
    Ok(Json(ListShareLinksResponse { share_links: rows.into_iter().map(view).collect() }))
}

/// Makes one.
pub(crate) async fn app_link_create(
    State(control): State<Arc<Control>>,
    about: ForApp,
    Document(request): Document<CreateShareLinkRequest>,
) -> ApiResult<Made<ShareLinkSecretResponse>> {
    if about.row.kind == AppKind::Cli {
        return Err(ApiError::conflict("a cli is not visited, so there is nothing to link to"));
    }
    if let Some(name) = &request.name {
        Title::check(name).map_err(|rule| ApiError::field("name", rule))?;
    }
    let expires_at = expiry(control.store.now(), request.expires_at)?;
    let (Principal::Key { account, .. } | Principal::Guest { account, .. }) = about.principal;
    let secret = new_secret().map_err(ApiError::internal)?;
    let link = ShareLinkRow {
        id: ShareLinkId::from_random(random().map_err(ApiError::internal)?),
        app: about.id.target().clone(),
        hash: control.authn.hasher.hash(&SecretString::from(secret.clone())),
        name: request.name,
        created_by: account,
        created_at: control.store.now(),
        expires_at,
    };
    let row = control.store.share_links().insert(&link).await?;
    let edge = &control.config.edge;
    let origin = origin(&host_name(&about.row.published.name, edge), edge);
    let url = format!("{origin}/.rigbox/link?token={secret}&path=/");
    let list = format!("/apps/{}/share-links", about.id.target());
    Ok(Made::at(&list, row.id, ShareLinkSecretResponse { link: view(row), url }))
}

/// Takes one back.
pub(crate) async fn app_link_delete(
    State(control): State<Arc<Control>>,
    about: ForApp,
    LinkId(id): LinkId<ShareLinkId>,
) -> ApiResult<Warned<Json<MessageResponse>>> {
    control.store.share_links().delete(about.id.target(), id).await?;
    let row = control.app(about.id.target()).await?;
    let warning = control.edges.effective(row.revision).await;
    let message = "share link taken back: it lets nobody in any more".to_owned();
    Ok(Warned(Json(MessageResponse { message }), warning))
}

fn expiry(now: Timestamp, asked: Option<Timestamp>) -> ApiResult<Timestamp> {
    let days = |days: u32| {
        let more = i64::from(days).saturating_mul(DAY_MICROS);
        Timestamp::from_micros(now.as_micros().saturating_add(more))
    };
    let (end, most) =
        (asked.unwrap_or_else(|| days(SHARE_LINK_DAYS_DEFAULT)), days(SHARE_LINK_DAYS_MAX));
    if end <= now || end > most {
        let rule = format!("must be in the future and at most {SHARE_LINK_DAYS_MAX} days ahead");
        return Err(ApiError::field("expires_at", rule));
    }
    Ok(end)
}

fn view(row: ShareLinkRow) -> ShareLink {
    ShareLink {
        id: row.id,
        app_id: row.app,
        name: row.name,
        created_by: row.created_by,
        created_at: row.created_at,
        expires_at: row.expires_at,
    }
}
