//! Makes a workspace: what its request leaves open comes from the template, then it is placed.

use std::collections::BTreeSet;

use rigbox_store::{
    Scope, StoreError,
    idempotency::Claim,
    workspaces::{EnvVars, NewWorkspace, Wanted, WorkspaceRow},
};
use rigbox_types::{
    AccountId, Authorised, Desired, Generation, ImageName, RegionName, WorkspaceId,
    api::{
        error::ErrorCode,
        templates::WorkspaceTemplate,
        workspaces::{CreateWorkspaceRequest, Idle, IdleMode, ResizeWorkspaceRequest},
    },
    host::Resources,
    limits::{DISK_MAX_MB, DISK_MIN_MB, RAM_MAX_MB, RAM_MIN_MB, SETUP_MAX_COUNT, VCPU_MAX},
};

use serde_json::json;

use crate::{
    account::{settings, templates},
    control::Control,
    error::{ApiError, ApiResult, Invalid},
    hosts::place::Placement,
    source::random,
    validate::{egress, env},
};

/// How often another host is tried where the chosen one was filled meanwhile.
const PLACEMENT_ATTEMPTS: usize = 3;

/// Makes a workspace of the caller's account.
pub(crate) async fn workspace_create(
    control: &Control,
    account: &Authorised<AccountId>,
    request: CreateWorkspaceRequest,
    claim: Option<&Claim>,
) -> ApiResult<WorkspaceRow> {
    let account = *account.target();
    let request = settings::with_defaults(control, account, request).await?;
    let template = template(&request)?;
    check(&request)?;
    check_image(control, &request).await?;
    let resources = resources(&request, template.as_ref())?;
    check_attached(control, account, &request).await?;
    // Before a host is looked for: who is over the plan is not told of the machines.
    control.store.workspaces().check_room(account, resources).await?;
    let region = request.region.clone().unwrap_or_else(|| control.config.region.clone());
    let mut placement = Placement::open(control, region.clone()).await?;
    let image = image(&request, template.as_ref());
    let wanted = wanted(&request, resources);
    for _ in 0..PLACEMENT_ATTEMPTS {
        let new = NewWorkspace {
            id: WorkspaceId::from_random(random().map_err(ApiError::internal)?),
            account,
            name: request.name.clone(),
            region: region.clone(),
            host: placement.choose(&resources)?,
            image: image.clone(),
            template: template.as_ref().map(|template| template.id.clone()),
            wanted: wanted.clone(),
        };
        match control.store.workspaces().insert(&new, claim).await {
            Ok(row) => return Ok(row),
            // Filled since it was chosen, or an id that is taken: once more.
            Err(StoreError::Over(over)) if over.scope == Scope::Host => {
                placement.full(&new.host, over.what);
            }
            Err(StoreError::Conflict { what: "workspace id", .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(placement.exhausted())
}

fn template(request: &CreateWorkspaceRequest) -> ApiResult<Option<WorkspaceTemplate>> {
    match (&request.template_id, &request.image) {
        (Some(id), _) => {
            let found = templates::find(id);
            found.map(Some).ok_or_else(|| {
                ApiError::field("template_id", "no such template: see GET /templates")
            })
        }
        // An image of one's own has no template, so nothing but the general floor.
        (None, Some(image)) => Ok(templates::of_image(image)),
        (None, None) => Ok(Some(templates::default())),
    }
}

fn image(request: &CreateWorkspaceRequest, template: Option<&WorkspaceTemplate>) -> ImageName {
    let own = request.image.clone();
    own.or_else(|| template.map(|template| template.image.clone()))
        .unwrap_or_else(|| templates::default().image)
}

fn wanted(request: &CreateWorkspaceRequest, resources: Resources) -> Wanted {
    Wanted {
        desired: Desired::Stopped,
        restart_generation: Generation::default(),
        retry_generation: Generation::default(),
        force: false,
        resources,
        egress: request.egress.clone().unwrap_or_default(),
        idle: request.idle.unwrap_or_default(),
        env: Some(EnvVars(request.env_vars.clone().unwrap_or_default())),
        setup_scripts: request.setup_script_ids.clone().unwrap_or_default(),
        service_specs: request.service_spec_ids.clone().unwrap_or_default(),
        creation_attempts: 0,
        creation_started_at: None,
    }
}

fn check(request: &CreateWorkspaceRequest) -> ApiResult<()> {
    if let Some(variables) = &request.env_vars {
        env::check("env_vars", variables)?;
    }
    if let Some(policy) = &request.egress {
        egress::check(policy)?;
    }
    if request.catalog_ids.as_ref().is_some_and(|ids| !ids.is_empty()) {
        return Err(ApiError::field("catalog_ids", "there is no app catalog yet: leave it out"));
    }
    check_idle(request.idle.as_ref())
}

/// An image that nobody has heard of would fail at the first start.
async fn check_image(control: &Control, request: &CreateWorkspaceRequest) -> ApiResult<()> {
    match &request.image {
        Some(image) => check_known(control, "image", image).await,
        None => Ok(()),
    }
}

/// Images of the templates come with the platform, others with what hosts say.
pub(crate) async fn check_known(
    control: &Control,
    field: &str,
    image: &ImageName,
) -> ApiResult<()> {
    let mut known: Vec<ImageName> =
        templates::all().into_iter().map(|template| template.image).collect();
    if known.contains(image) {
        return Ok(());
    }
    known.extend(control.store.hosts().images().await?);
    if known.contains(image) {
        return Ok(());
    }
    known.sort();
    known.dedup();
    let names: Vec<&str> = known.iter().map(ImageName::as_str).collect();
    let rule = format!("no such image: the known ones are {}", names.join(", "));
    Err(ApiError::field(field, rule).with(json!({ "field": field, "known": names })))
}

fn check_idle(idle: Option<&Idle>) -> ApiResult<()> {
    match idle.map(|idle| idle.mode) {
        None | Some(IdleMode::AlwaysOn) => Ok(()),
        Some(IdleMode::Suspend) => Err(ApiError::new(
            ErrorCode::Unsupported,
            "idle.mode: this installation cannot suspend workspaces; use always_on",
        )
        .with(json!({ "field": "idle.mode" }))),
    }
}

/// What the request says, else the template; not less than the template, not more than there is.
fn resources(
    request: &CreateWorkspaceRequest,
    template: Option<&WorkspaceTemplate>,
) -> ApiResult<Resources> {
    let floor = floor(template);
    let resources = Resources {
        vcpus: request.vcpu_count.unwrap_or(floor.vcpus),
        memory_mib: request.ram_mb.unwrap_or(floor.memory_mib),
        disk_mib: request.disk_size_mb.unwrap_or(floor.disk_mib),
    };
    check_resources(&resources, template)?;
    Ok(resources)
}

/// Refuses what is below the floor of the template or above the limit of every plan.
pub(crate) fn check_resources(
    resources: &Resources,
    template: Option<&WorkspaceTemplate>,
) -> Result<(), Invalid> {
    let floor = floor(template);
    let within = |field: &str, value: u32, min: u32, max: u32| {
        if (min..=max).contains(&value) {
            return Ok(());
        }
        Err(Invalid::new(field, format!("must be from {min} to {max}")))
    };
    within("ram_mb", resources.memory_mib, floor.memory_mib, RAM_MAX_MB)?;
    within("vcpu_count", resources.vcpus.into(), floor.vcpus.into(), VCPU_MAX.into())?;
    within("disk_size_mb", resources.disk_mib, floor.disk_mib, DISK_MAX_MB)
}

fn floor(template: Option<&WorkspaceTemplate>) -> Resources {
    let least = Resources { vcpus: 1, memory_mib: RAM_MIN_MB, disk_mib: DISK_MIN_MB };
    template.map_or(least, |template| Resources {
        vcpus: template.vcpu_count,
        memory_mib: template.ram_mb,
        disk_mib: template.disk_size_mb,
    })
}

/// Bounds of a resize, before it is known what the workspace has.
pub(crate) fn check_resize(request: &ResizeWorkspaceRequest) -> Result<(), Invalid> {
    let size = Resources {
        vcpus: request.vcpu_count.unwrap_or(1),
        memory_mib: request.ram_mb.unwrap_or(RAM_MIN_MB),
        disk_mib: request.disk_size_mb.unwrap_or(DISK_MIN_MB),
    };
    check_resources(&size, None)
}

/// What is attached must be there and be the account's.
async fn check_attached(
    control: &Control,
    account: AccountId,
    request: &CreateWorkspaceRequest,
) -> ApiResult<()> {
    let scripts = request.setup_script_ids.as_deref().unwrap_or_default();
    let specs = request.service_spec_ids.as_deref().unwrap_or_default();
    check_list("setup_script_ids", scripts)?;
    check_list("service_spec_ids", specs)?;
    let missing = |field: &str, n: usize, what: &str| {
        ApiError::field(&format!("{field}[{n}]"), format!("there is no such {what}"))
    };
    for (n, id) in scripts.iter().enumerate() {
        match control.store.setup_scripts().get(account, *id).await {
            Err(StoreError::NotFound { .. }) => {
                return Err(missing("setup_script_ids", n, "setup script"));
            }
            other => other.map(drop)?,
        }
    }
    for (n, id) in specs.iter().enumerate() {
        match control.store.service_specs().get(account, *id).await {
            Err(StoreError::NotFound { .. }) => {
                return Err(missing("service_spec_ids", n, "service spec"));
            }
            other => other.map(drop)?,
        }
    }
    Ok(())
}

fn check_list<T: Ord>(field: &str, ids: &[T]) -> Result<(), Invalid> {
    if ids.len() > SETUP_MAX_COUNT {
        return Err(Invalid::new(field, format!("may have at most {SETUP_MAX_COUNT} entries")));
    }
    if ids.iter().collect::<BTreeSet<_>>().len() < ids.len() {
        return Err(Invalid::new(field, "has an entry twice"));
    }
    Ok(())
}

/// A region that nobody serves is a mistake of the request.
pub(crate) fn unknown_region(region: &RegionName) -> ApiError {
    ApiError::field("region", format!("there is no region {region}: see GET /users/me/regions"))
}
