//! What a handler takes instead of ids: proofs. The right comes from the endpoint's row, the facts
//! from the store, the decision from `types::authz`.

use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams};
use http::request::Parts;
use rigbox_store::{apps::AppRow, workspaces::WorkspaceRow};
use rigbox_types::{
    AccountId, AppId, Authorised, Principal, Right, WorkspaceId,
    access::{InvalidAccess, ResourceRef, Role},
    api::error::ErrorCode,
    authz::{Denied, Resource, Standing, authorise, role},
    endpoint::Endpoint,
};

use crate::{
    access_control::{Thing, of_account, of_app, of_workspace, thing},
    control::Control,
    error::{ApiError, ApiResult},
    http::params::Params,
};

/// What the entry knows of a request.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    /// Who asks; none for a public endpoint.
    pub(crate) principal: Option<Principal>,
    /// What is asked.
    pub(crate) endpoint: &'static Endpoint,
    /// The query.
    pub(crate) params: Params,
}

impl Access {
    /// Who asks.
    pub(crate) fn principal(&self) -> ApiResult<&Principal> {
        self.principal
            .as_ref()
            .ok_or_else(|| ApiError::new(ErrorCode::Unauthenticated, "credentials are missing"))
    }

    /// What the caller is on the platform; code in a workspace is nobody there.
    fn standing(&self) -> Standing {
        match self.principal {
            Some(Principal::Key { standing, .. }) => standing,
            Some(Principal::Guest { .. }) | None => Standing::User,
        }
    }

    /// The account that the caller acts for.
    pub(crate) fn account(&self) -> ApiResult<AccountId> {
        Ok(match self.principal()? {
            Principal::Key { account, .. } | Principal::Guest { account, .. } => *account,
        })
    }
}

/// A request about the caller's own account.
pub(crate) struct ForAccount {
    /// The account, with the right of the endpoint's row.
    pub(crate) account: Authorised<AccountId>,
    /// What the caller is on the platform.
    pub(crate) standing: Standing,
    /// The query.
    pub(crate) params: Params,
}

/// A request about the workspaces of an account: the caller's own, or the one that `owner` names.
pub(crate) struct ForOwner {
    /// The account, with the right of the endpoint's row.
    pub(crate) account: Authorised<AccountId>,
    /// Who asks.
    pub(crate) principal: Principal,
    /// The query.
    pub(crate) params: Params,
}

/// A request about the thing that `resource` names.
pub(crate) struct ForResource {
    /// The thing, which the caller has the right of the endpoint's row to.
    pub(crate) thing: Thing,
    /// What the caller is on the platform.
    pub(crate) standing: Standing,
    /// The query.
    pub(crate) params: Params,
}

/// A request about the platform with all its accounts.
pub(crate) struct ForPlatform {
    /// The query.
    pub(crate) params: Params,
}

/// A request about one workspace.
pub(crate) struct ForWorkspace {
    /// The workspace, with the right of the endpoint's row.
    pub(crate) id: Authorised<WorkspaceId>,
    /// Its row, as it was when the right was decided.
    pub(crate) row: WorkspaceRow,
    /// What the caller is to it.
    pub(crate) role: Option<Role>,
    /// The query.
    pub(crate) params: Params,
}

/// A request about one app.
pub(crate) struct ForApp {
    /// The app, with the right of the endpoint's row.
    pub(crate) id: Authorised<AppId>,
    /// Its workspace, with the same right to that app in it.
    pub(crate) workspace: Authorised<WorkspaceId>,
    /// Its row, as it was when the right was decided.
    pub(crate) row: AppRow,
    /// Who asks.
    pub(crate) principal: Principal,
    /// The query.
    pub(crate) params: Params,
}

impl ForApp {
    /// The proof that the caller may do `right` to the workspace itself, for what of an app reaches
    /// further into it than the app's port. Who sees an app is told its workspace's id, so a refusal
    /// hides nothing and says what is missing.
    ///
    /// # Errors
    /// Forbidden with `what` and the right, or the workspace is gone.
    pub(crate) async fn beyond(
        &self,
        control: &Control,
        (right, what): (Right, &str),
    ) -> ApiResult<Authorised<WorkspaceId>> {
        let row = control.workspace(&self.row.workspace).await?;
        let facts = of_workspace(&control.store, &self.principal, &row).await?;
        authorise(&self.principal, right, &facts, row.id).map_err(|_| ApiError::lacks(right, what))
    }
}

/// A request whose document says what it is about; its handler decides the right.
pub(crate) struct Asked(pub(crate) Access);

impl FromRequestParts<Arc<Control>> for Asked {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Control>) -> ApiResult<Self> {
        access(parts).map(Self)
    }
}

fn access(parts: &Parts) -> ApiResult<Access> {
    parts.extensions.get::<Access>().cloned().ok_or_else(|| {
        ApiError::internal("a handler was reached past the entry, which is a mistake in the router")
    })
}

impl FromRequestParts<Arc<Control>> for ForAccount {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Control>) -> ApiResult<Self> {
        let access = access(parts)?;
        let account = access.account()?;
        let right = access.endpoint.right;
        let own = Resource::Account { id: account, granted: None };
        let account = authorise(access.principal()?, right, &own, account)?;
        let standing = access.standing();
        Ok(Self { account, standing, params: access.params })
    }
}

impl FromRequestParts<Arc<Control>> for ForOwner {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, control: &Arc<Control>) -> ApiResult<Self> {
        let access = access(parts)?;
        let principal = access.principal()?.clone();
        let missing = || ApiError::not_found("account");
        let id = match access.params.text("owner") {
            None => access.account()?,
            // A malformed id is an id of nobody.
            Some(owner) => owner.parse().map_err(|_| missing())?,
        };
        let facts = of_account(&control.store, &principal, id).await?;
        let account = authorise(&principal, access.endpoint.right, &facts, id).map_err(
            |denied| match denied {
                Denied::Unknown => missing(),
                Denied::Forbidden => denied.into(),
            },
        )?;
        Ok(Self { account, principal, params: access.params })
    }
}

impl FromRequestParts<Arc<Control>> for ForResource {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, control: &Arc<Control>) -> ApiResult<Self> {
        let access = access(parts)?;
        let named = access.params.text("resource").unwrap_or_default();
        let at: ResourceRef = named
            .parse()
            .map_err(|error: InvalidAccess| ApiError::field("resource", error.to_string()))?;
        let thing = thing(control, access.principal()?, &at).await?;
        thing.authorise(access.principal()?, access.endpoint.right)?;
        let standing = access.standing();
        Ok(Self { thing, standing, params: access.params })
    }
}

impl FromRequestParts<Arc<Control>> for ForPlatform {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Control>) -> ApiResult<Self> {
        let access = access(parts)?;
        authorise(access.principal()?, access.endpoint.right, &Resource::Platform, ())?;
        Ok(Self { params: access.params })
    }
}

impl FromRequestParts<Arc<Control>> for ForWorkspace {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, control: &Arc<Control>) -> ApiResult<Self> {
        let access = access(parts)?;
        // A malformed id is an id of nothing.
        let id: WorkspaceId = path_param(parts, control, "id").await?;
        tracing::Span::current().record("workspace", id.as_str());
        let row = control.workspace(&id).await?;
        let who = access.principal()?;
        let facts = of_workspace(&control.store, who, &row).await?;
        let role = role(who, &facts);
        let id =
            authorise(who, access.endpoint.right, &facts, id).map_err(|denied| match denied {
                Denied::Unknown => ApiError::not_found("workspace"),
                Denied::Forbidden => denied.into(),
            })?;
        Ok(Self { id, row, role, params: access.params })
    }
}

impl FromRequestParts<Arc<Control>> for ForApp {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, control: &Arc<Control>) -> ApiResult<Self> {
        let access = access(parts)?;
        let id: AppId = path_param(parts, control, "id").await?;
        let row = control.app(&id).await?;
        tracing::Span::current().record("workspace", row.workspace.as_str());
        let who = access.principal()?;
        let facts = of_app(&control.store, who, &row).await?;
        let (right, workspace) = (access.endpoint.right, row.workspace.clone());
        let missing = |denied| match denied {
            Denied::Unknown => ApiError::not_found("app"),
            Denied::Forbidden => denied.into(),
        };
        let id = authorise(who, right, &facts, id).map_err(missing)?;
        let workspace = authorise(who, right, &facts, workspace).map_err(missing)?;
        Ok(Self { id, workspace, row, principal: who.clone(), params: access.params })
    }
}

/// A segment of the path, parsed. What does not parse names nothing: 404.
pub(crate) async fn path_param<T: std::str::FromStr>(
    parts: &mut Parts,
    control: &Arc<Control>,
    name: &str,
) -> ApiResult<T> {
    let missing = || ApiError::not_found("object");
    let params = RawPathParams::from_request_parts(parts, control).await.map_err(|_| missing())?;
    params
        .iter()
        .find(|(known, _)| *known == name)
        .and_then(|(_, value)| value.parse().ok())
        .ok_or_else(missing)
}

/// The last named segment of a path of the account's own things.
pub(crate) struct Id<T>(pub(crate) T);

impl<T: std::str::FromStr + Send> FromRequestParts<Arc<Control>> for Id<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, control: &Arc<Control>) -> ApiResult<Self> {
        path_param(parts, control, "id").await.map(Self)
    }
}

/// The segment `{job_id}` of a path.
pub(crate) struct JobId<T>(pub(crate) T);

impl<T: std::str::FromStr + Send> FromRequestParts<Arc<Control>> for JobId<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, control: &Arc<Control>) -> ApiResult<Self> {
        path_param(parts, control, "job_id").await.map(Self)
    }
}

/// The segment `{link_id}` of a path.
pub(crate) struct LinkId<T>(pub(crate) T);

impl<T: std::str::FromStr + Send> FromRequestParts<Arc<Control>> for LinkId<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, control: &Arc<Control>) -> ApiResult<Self> {
        path_param(parts, control, "link_id").await.map(Self)
    }
}

/// The segment `{source_id}` of a path.
pub(crate) struct SourceId<T>(pub(crate) T);

impl<T: std::str::FromStr + Send> FromRequestParts<Arc<Control>> for SourceId<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, control: &Arc<Control>) -> ApiResult<Self> {
        path_param(parts, control, "source_id").await.map(Self)
    }
}

/// The segment `{code}` of a path.
pub(crate) struct Code<T>(pub(crate) T);

impl<T: std::str::FromStr + Send> FromRequestParts<Arc<Control>> for Code<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, control: &Arc<Control>) -> ApiResult<Self> {
        path_param(parts, control, "code").await.map(Self)
    }
}

/// The segment `{name}` of a path.
pub(crate) struct NameOf<T>(pub(crate) T);

impl<T: std::str::FromStr + Send> FromRequestParts<Arc<Control>> for NameOf<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, control: &Arc<Control>) -> ApiResult<Self> {
        path_param(parts, control, "name").await.map(Self)
    }
}
