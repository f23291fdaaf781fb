//! `rigbox user`: whoever installed the platform gives people accounts, changes their plans and closes
//! them, over the API and with the operator's own key.
//! Invariant: an account's first key is printed once, on standard output, and written nowhere.
//! Decides nothing: what may be done is the API's to say.

use std::{net::SocketAddr, process::ExitCode};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use http::StatusCode;
use rigbox_types::{
    AccountId, Email, PlanName,
    api::{
        change::Change,
        users::{
            CreateUserKeyRequest, CreateUserRequest, CreateUserResponse, GetUserResponse,
            SignInLinkResponse, UpdateUserRequest, User,
        },
    },
    authz::Standing,
};
use secrecy::SecretString;
use serde::Serialize;
use serde_json::json;

use crate::{
    api::{Api, CallError},
    cli::{Place, with_platform},
    files, output, password,
    plan::Numbers,
    state::State,
    up::Up,
};

/// What to do with accounts.
#[derive(Debug, Subcommand)]
pub(crate) enum UserVerb {
    /// Make an account, and print a one-time link to set its password by and its first API key:
    /// this once.
    Add {
        /// The e-mail address.
        email: Email,
        /// The plan.
        #[arg(long, value_name = "PLAN", default_value = "free")]
        plan: PlanName,
        /// The name, for people.
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// Set the password that standard input holds, instead of printing a link.
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        common: Common,
    },
    /// List the accounts, newest first.
    Ls {
        #[command(flatten)]
        common: Common,
    },
    /// Show an account, what it may use and does use.
    Show {
        /// E-mail address or id.
        user: String,
        #[command(flatten)]
        common: Common,
    },
    /// Give an account another plan. What is over a smaller one stays, and does not grow.
    SetPlan {
        /// E-mail address or id.
        user: String,
        /// The plan.
        plan: PlanName,
        #[command(flatten)]
        common: Common,
    },
    /// Give an account numbers of its own over those of its plan.
    #[command(after_help = "Examples:
  rigbox user set-limits ann@example.com max_vms=5 max_ssh_keys=50
  rigbox user set-limits ann@example.com max_vms=none    # the plan's again")]
    SetLimits {
        /// E-mail address or id.
        user: String,
        #[command(flatten)]
        numbers: Numbers,
        #[command(flatten)]
        common: Common,
    },
    /// Make an API key for an account that has lost its own, and print it: this once.
    NewKey {
        /// E-mail address or id.
        user: String,
        /// End all its other keys at once.
        #[arg(long)]
        end_others: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Print a one-time link by which an account sets its password, the first one or another. Ends
    /// the link before; the password ends all its sessions.
    #[command(after_help = "Examples:
  rigbox user set-password ann@example.com
  pass show rigbox/ann | rigbox user set-password ann@example.com --password-stdin")]
    SetPassword {
        /// E-mail address or id.
        user: String,
        /// Set the password that standard input holds, instead of printing a link.
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Take the second factor of an account away, whose owner has lost it.
    ResetSecondFactor {
        /// E-mail address or id.
        user: String,
        #[command(flatten)]
        common: Common,
    },
    /// Refuse an account's credentials from now on. Its workspaces go on.
    Disable {
        /// E-mail address or id.
        user: String,
        #[command(flatten)]
        common: Common,
    },
    /// Accept an account's credentials again.
    Enable {
        /// E-mail address or id.
        user: String,
        #[command(flatten)]
        common: Common,
    },
}

/// What all of these commands take.
#[derive(Debug, Args)]
pub(crate) struct Common {
    #[command(flatten)]
    place: Place,
    /// Answer in JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Does what was asked with accounts.
///
/// # Errors
/// Says what was refused, and what can be done about it.
pub(crate) fn user(verb: UserVerb) -> anyhow::Result<ExitCode> {
    match verb {
        UserVerb::Add { email, plan, name, password_stdin, common } => {
            let password = password_stdin.then(password::from_stdin).transpose()?;
            let request =
                CreateUserRequest { email, display_name: name, plan: Some(plan), api_key: true };
            on_api(&common, async |api| add(api, (&request, password.as_ref()), common.json).await)
        }
        UserVerb::Ls { common } => on_api(&common, async |api| list(api, common.json).await),
        UserVerb::Show { user, common } => on_api(&common, async |api| {
            let id = find(api, &user).await?;
            show(&api.user(id).await?, common.json)
        }),
        UserVerb::SetPlan { user, plan, common } => {
            let change = UpdateUserRequest { plan: Change::Set(plan), ..Default::default() };
            on_api(&common, async |api| update(api, &user, &change, common.json).await)
        }
        UserVerb::SetLimits { user, numbers, common } => {
            let overrides = Change::Set(numbers.changes()?);
            let change = UpdateUserRequest { overrides, ..Default::default() };
            on_api(&common, async |api| update(api, &user, &change, common.json).await)
        }
        UserVerb::NewKey { user, end_others, common } => on_api(&common, async |api| {
            let id = find(api, &user).await?;
            let made = api.user_key_create(id, CreateUserKeyRequest { end_others }).await?;
            if common.json {
                return document(&made);
            }
            output::data(&made.key);
            told_how_to_sign_in();
            Ok(())
        }),
        UserVerb::SetPassword { user, password_stdin, common } => {
            set_password(&user, password_stdin, &common)
        }
        UserVerb::ResetSecondFactor { user, common } => on_api(&common, async |api| {
            let done = api.user_factor_delete(find(api, &user).await?).await?;
            if common.json {
                return document(&done);
            }
            output::data(&done.message);
            Ok(())
        }),
        UserVerb::Disable { user, common } => {
            let change = UpdateUserRequest { disabled: Change::Set(true), ..Default::default() };
            on_api(&common, async |api| update(api, &user, &change, common.json).await)
        }
        UserVerb::Enable { user, common } => {
            let change = UpdateUserRequest { disabled: Change::Set(false), ..Default::default() };
            on_api(&common, async |api| update(api, &user, &change, common.json).await)
        }
    }
}

/// Sets an account's password, or makes a link by which its owner does.
fn set_password(user: &str, from_stdin: bool, common: &Common) -> anyhow::Result<ExitCode> {
    let password = from_stdin.then(password::from_stdin).transpose()?;
    on_api(common, async |api| {
        let id = find(api, user).await?;
        if let Some(password) = &password {
            let done = api.user_password_update(id, password).await?;
            if common.json {
                return document(&done);
            }
            output::data(&done.message);
            return Ok(());
        }
        let link = api.user_link_create(id).await?;
        if common.json {
            return document(&link);
        }
        output::data(&link.url);
        told_of_the_link(&link);
        Ok(())
    })
}

/// Calls the API of the platform that runs here, as the operator.
pub(crate) fn on_api(
    common: &Common,
    act: impl AsyncFnOnce(&Api) -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    with_platform(&common.place, None, |up, _| {
        if !rustix::process::geteuid().is_root() {
            bail!(
                "only root can read the operator's key {}\nhint: run this command with sudo",
                up.layout.admin_key()
            );
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let api = api(up)?;
        let done = runtime.context("start the runtime")?.block_on(act(&api));
        done.map(|()| ExitCode::SUCCESS).map_err(|error| hinted(up, error))
    })
}

fn api(up: &Up<'_>) -> anyhow::Result<Api> {
    let stopped = || format!("the platform does not run\nhint: {}", up.layout.command("up"));
    let state = State::read(up.layout)?.with_context(stopped)?;
    let address = state.api.strip_prefix("http://").unwrap_or(&state.api);
    let address: SocketAddr =
        address.parse().with_context(|| format!("read the API's address {address}"))?;
    let path = up.layout.admin_key();
    let key = files::read(&path)?.with_context(|| format!("{path} is not there"))?;
    Ok(Api::new(address, Some(SecretString::from(key.trim().to_owned()))))
}

/// Says what can be done about a refusal, where that is known.
fn hinted(up: &Up<'_>, error: anyhow::Error) -> anyhow::Error {
    let hint = match error.downcast_ref::<CallError>() {
        Some(CallError::Silent { .. }) => up.layout.command("status"),
        Some(CallError::Refused { status: StatusCode::CONFLICT, .. }) => {
            up.layout.command("user ls")
        }
        Some(CallError::Refused { message, .. }) if message.starts_with("plan:") => {
            up.layout.command("plan ls")
        }
        Some(_) | None => return error,
    };
    anyhow::anyhow!("{error:#}\nhint: {hint}")
}

async fn add(
    api: &Api,
    (request, password): (&CreateUserRequest, Option<&SecretString>),
    json: bool,
) -> anyhow::Result<()> {
    let made = api.user_create(request).await?;
    if let Some(password) = password {
        return added_with_password(api, (made, request), password, json).await;
    }
    let link = api.user_link_create(made.user.id).await?;
    if json {
        return document(&json!({
            "user": made.user, "api_key": made.api_key, "sign_in_link": link,
        }));
    }
    let key = made.api_key.context("the API made no key")?;
    table(&[
        ["account".to_owned(), made.user.id.to_string()],
        ["e-mail".to_owned(), request.email.to_string()],
        ["plan".to_owned(), made.user.plan.to_string()],
        ["API key".to_owned(), key],
        ["password".to_owned(), link.url.clone()],
    ]);
    told_of_the_link(&link);
    told_how_to_sign_in();
    Ok(())
}

/// The account is there, whatever is said of the password.
async fn added_with_password(
    api: &Api,
    (made, request): (CreateUserResponse, &CreateUserRequest),
    password: &SecretString,
    json: bool,
) -> anyhow::Result<()> {
    let set = api.user_password_update(made.user.id, password).await;
    if json {
        document(
            &json!({ "user": made.user, "api_key": made.api_key, "password_set": set.is_ok() }),
        )?;
    } else {
        table(&[
            ["account".to_owned(), made.user.id.to_string()],
            ["e-mail".to_owned(), request.email.to_string()],
            ["plan".to_owned(), made.user.plan.to_string()],
            ["API key".to_owned(), made.api_key.context("the API made no key")?],
        ]);
        told_how_to_sign_in();
    }
    set.with_context(|| {
        format!(
            "the account was made without its password; another one is set by `rigbox user \
             set-password {} --password-stdin`",
            request.email
        )
    })?;
    Ok(())
}

fn told_of_the_link(link: &SignInLinkResponse) {
    output::note(&format!("the link sets a password, works once, and until {}", link.expires_at));
}

fn told_how_to_sign_in() {
    output::note("the key is not kept and cannot be shown again; its owner signs in with");
    output::note("  rig login --import-token -");
}

async fn list(api: &Api, json: bool) -> anyhow::Result<()> {
    let users = all(api).await?;
    if json {
        return document(&json!({ "users": users, "next_cursor": null }));
    }
    let heads = ["ID", "E-MAIL", "PLAN", "STATE", "CREATED", "NAME"].map(str::to_owned);
    let row = |user: &User| {
        [
            user.id.to_string(),
            user.email.as_ref().map_or_else(|| "-".to_owned(), Email::to_string),
            user.plan.to_string(),
            state(user).to_owned(),
            user.created_at.to_string(),
            user.display_name.clone().unwrap_or_default(),
        ]
    };
    let rows: Vec<_> = std::iter::once(heads).chain(users.iter().map(row)).collect();
    table(&rows);
    Ok(())
}

async fn update(
    api: &Api,
    user: &str,
    change: &UpdateUserRequest,
    json: bool,
) -> anyhow::Result<()> {
    let id = find(api, user).await?;
    show(&api.user_update(id, change).await?, json)
}

fn show(answer: &GetUserResponse, json: bool) -> anyhow::Result<()> {
    if json {
        return document(answer);
    }
    let GetUserResponse { user, limits, identities } = answer;
    let (may, does) = (&limits.limits, &limits.usage);
    let custom = if limits.custom { " with numbers of its own" } else { "" };
    let of = |used: u64, most: u64| format!("{used} of {most}");
    let row = |name: &str, value: String| [name.to_owned(), value];
    let mut rows = vec![
        row("account", user.id.to_string()),
        row("e-mail", user.email.as_ref().map_or_else(|| "-".to_owned(), Email::to_string)),
        row("name", user.display_name.clone().unwrap_or_else(|| "-".to_owned())),
        row("state", state(user).to_owned()),
        row("plan", format!("{}{custom}", user.plan)),
        row("workspaces", of(does.workspace_count, may.max_vms)),
        row("vCPUs running", of(does.running_vcpus, may.max_running_vcpus)),
        row("memory MiB", of(does.total_ram_mb, may.max_ram_total_mb)),
        row("disk MiB", of(does.total_disk_mb, may.max_disk_total_mb)),
        row("SSH keys", of(does.ssh_key_count, may.max_ssh_keys)),
    ];
    rows.extend(identities.iter().map(|known| {
        let who = known.email.as_ref().map_or(known.subject.as_str(), Email::as_str);
        row("signs in by", format!("{} as {who}", known.provider))
    }));
    table(&rows);
    Ok(())
}

fn state(user: &User) -> &'static str {
    match (user.disabled_at, user.standing) {
        (Some(_), _) => "disabled",
        (None, Standing::Operator) => "operator",
        (None, Standing::User) => "active",
    }
}

/// The account with this id or address.
pub(crate) async fn find(api: &Api, user: &str) -> anyhow::Result<AccountId> {
    if let Ok(id) = user.parse() {
        return Ok(id);
    }
    let email: Email =
        user.parse().with_context(|| format!("{user} is neither an id nor an e-mail address"))?;
    let users = all(api).await?;
    let found = users.iter().find(|known| known.email.as_ref() == Some(&email));
    let Some(found) = found else {
        bail!("there is no account of {email}\nhint: rigbox user ls");
    };
    Ok(found.id)
}

async fn all(api: &Api) -> anyhow::Result<Vec<User>> {
    let mut page = api.users(None).await?;
    let mut users = std::mem::take(&mut page.users);
    while let Some(cursor) = page.next_cursor {
        page = api.users(Some(&cursor)).await?;
        users.append(&mut page.users);
    }
    Ok(users)
}

/// Prints a document of the API.
pub(crate) fn document(answer: &impl Serialize) -> anyhow::Result<()> {
    output::data(&serde_json::to_string_pretty(answer)?);
    Ok(())
}

/// Columns as wide as what is in them.
pub(crate) fn table(rows: &[impl AsRef<[String]>]) {
    let columns = rows.iter().map(|row| row.as_ref().len()).max().unwrap_or_default();
    let width = |n: usize| {
        let widths = rows.iter().filter_map(|row| row.as_ref().get(n));
        widths.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let cells = row.as_ref().iter().zip(&widths);
        let line: Vec<String> = cells.map(|(cell, width)| format!("{cell:<width$}")).collect();
        output::data(line.join("  ").trim_end());
    }
}
