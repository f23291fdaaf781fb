//! `rig access`: who may reach what. People are typed by their e-mail address; the API knows them by
//! their account.

use std::collections::BTreeMap;

use http::Method;
use rigbox_types::{
    AccountId,
    access::{PrincipalRef, ResourceRef, Role},
    api::{
        access::{
            AccessBinding, BindingsResponse, CreateBindingRequest, DeleteBindingRequest,
            DeleteResponse, PrincipalLookupResponse, SimulateAccessRequest, SimulateAccessResponse,
            UpdateBindingRequest,
        },
        accounts::GetUserSettingsResponse,
    },
};

use super::workspace::find_workspace;
use crate::{
    cli::{AccessCommand, AccessThing, CheckArgs, GrantArgs, RevokeArgs},
    client::{Call, Document, Path},
    clock,
    error::{CommandError, CommandResult},
    output::{Table, ago},
    session::Session,
};

const BINDINGS: &str = "/access-control/bindings";

/// The account of whoever runs rig.
const ME: &str = "me";

/// Does what the command says.
pub(super) async fn run(session: &Session, command: AccessCommand) -> CommandResult {
    match command {
        AccessCommand::Ls(thing) => list(session, &thing).await,
        AccessCommand::Grant(args) => grant(session, &args).await,
        AccessCommand::Revoke(args) => revoke(session, &args).await,
        AccessCommand::Check(args) => check(session, args).await,
    }
}

async fn list(session: &Session, thing: &AccessThing) -> CommandResult {
    let resource = resource(session, thing).await?;
    session.output.progress("reading who may reach it");
    let answer = bindings(session, &resource).await?;
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    let names = names(session, &resource).await;
    let now = clock::now();
    let mut table = Table::new(["WHO", "ROLE", "SINCE", "GIVEN BY"]);
    let name = |who: PrincipalRef| names.get(&who).cloned().unwrap_or_else(|| who.to_string());
    for binding in &answer.value.bindings {
        table.row([
            name(binding.principal_ref).into(),
            binding.role.as_str().into(),
            ago(now, binding.created_at).into(),
            binding.created_by_ref.map_or_else(|| "-".to_owned(), name).into(),
        ]);
    }
    session.output.table(&table, "nobody")
}

async fn grant(session: &Session, args: &GrantArgs) -> CommandResult {
    let resource = resource(session, &args.thing).await?;
    let principal = person(session, &resource, &args.person).await?;
    let role = Role::from(args.role);
    let held = held(session, &resource, principal).await?;
    let call = match held {
        Some(current_role) if current_role != role => {
            let request =
                UpdateBindingRequest { principal, resource, current_role, new_role: role };
            Call::new(Method::PATCH, Path::api(BINDINGS)).json(&request)?
        }
        _ => {
            let request = CreateBindingRequest { principal, resource, role };
            Call::new(Method::POST, Path::api(BINDINGS)).json(&request)?.idempotent()?
        }
    };
    let answer: Document<AccessBinding> = session.client.fetch(call).await?;
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    session.output.line(format!("{} is {role} of {} now", args.person, shown(&args.thing)))
}

async fn revoke(session: &Session, args: &RevokeArgs) -> CommandResult {
    let resource = resource(session, &args.thing).await?;
    let principal = person(session, &resource, &args.person).await?;
    let what = shown(&args.thing);
    let Some(role) = held(session, &resource, principal).await? else {
        let message = format!("{} has no role on {what}", args.person);
        return Err(CommandError::failed(message).coded("not_found").hint(hint(&args.thing)));
    };
    let request = DeleteBindingRequest { principal, resource, role };
    let call = Call::new(Method::DELETE, Path::api(BINDINGS)).json(&request)?;
    let answer: Document<DeleteResponse> = session.client.fetch(call).await?;
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    session.output.line(format!("{} is no {role} of {what} any more", args.person))
}

async fn check(session: &Session, args: CheckArgs) -> CommandResult {
    let resource = resource(session, &args.thing).await?;
    let principal = match &args.person {
        Some(typed) => Some(person(session, &resource, typed).await?),
        None => None,
    };
    let request = SimulateAccessRequest { principal, action: args.action, resource };
    let call = Call::new(Method::POST, Path::api("/access-control/simulate")).json(&request)?;
    let answer: Document<SimulateAccessResponse> = session.client.fetch(call).await?;
    if session.output.is_human() {
        let word = if answer.value.allowed { "yes" } else { "no" };
        session.output.line(format!("{word}: {}", answer.value.reason))?;
    } else {
        session.output.document(&answer.raw)?;
    }
    if answer.value.allowed { Ok(()) } else { Err(CommandError::silent(1)) }
}

/// What the command line names.
async fn resource(session: &Session, thing: &AccessThing) -> CommandResult<ResourceRef> {
    match (&thing.workspace, &thing.account) {
        (Some(typed), _) => Ok(ResourceRef::Workspace(find_workspace(session, typed).await?.id)),
        (None, Some(id)) if id != ME => {
            let id = id.parse().map_err(|error| {
                CommandError::usage(format!("--account {id}: {error}"))
                    .hint("rig access ls --account")
            })?;
            Ok(ResourceRef::Account(id))
        }
        (None, _) => Ok(ResourceRef::Account(own_account(session).await?)),
    }
}

async fn own_account(session: &Session) -> CommandResult<AccountId> {
    let settings: Document<GetUserSettingsResponse> =
        session.client.get(Path::api("/users/me/settings")).await?;
    Ok(settings.value.settings.user_id)
}

/// Whom the command line names.
async fn person(session: &Session, on: &ResourceRef, typed: &str) -> CommandResult<PrincipalRef> {
    if typed == ME {
        return own_account(session).await.map(PrincipalRef::User);
    }
    if let Ok(principal) = typed.parse() {
        return Ok(principal);
    }
    if !typed.contains('@') {
        let message = format!("'{typed}' is neither an e-mail address nor user:ID");
        return Err(CommandError::usage(message));
    }
    let found = lookup(session, on, typed).await?.value.principals;
    let is = |email: &str| email.eq_ignore_ascii_case(typed);
    let person = found.into_iter().find(|person| is(person.email.as_str()));
    person.map(|person| person.principal).ok_or_else(|| {
        let message = format!("nobody here has the e-mail address {typed}");
        CommandError::failed(message).coded("not_found")
    })
}

async fn lookup(
    session: &Session,
    on: &ResourceRef,
    query: &str,
) -> CommandResult<Document<PrincipalLookupResponse>> {
    let path = Path::api("/access-control/principals")
        .query("resource", on.to_string())
        .query("query", query)
        .query("limit", "100");
    Ok(session.client.get(path).await?)
}

/// Addresses of those who have a role. Who may not look people up reads ids instead.
async fn names(session: &Session, on: &ResourceRef) -> BTreeMap<PrincipalRef, String> {
    let Ok(found) = lookup(session, on, "user:").await else { return BTreeMap::new() };
    let people = found.value.principals.into_iter();
    people.map(|person| (person.principal, person.email.to_string())).collect()
}

async fn bindings(
    session: &Session,
    of: &ResourceRef,
) -> CommandResult<Document<BindingsResponse>> {
    Ok(session.client.get(Path::api(BINDINGS).query("resource", of.to_string())).await?)
}

/// The role that somebody has.
async fn held(
    session: &Session,
    on: &ResourceRef,
    who: PrincipalRef,
) -> CommandResult<Option<Role>> {
    let bindings = bindings(session, on).await?.value.bindings;
    let own = bindings.iter().find(|binding| binding.principal_ref == who);
    Ok(own.map(|binding| binding.role))
}

fn shown(thing: &AccessThing) -> &str {
    match (&thing.workspace, thing.account.as_deref()) {
        (Some(workspace), _) => workspace,
        (None, Some(id)) if id != ME => id,
        (None, _) => "your account",
    }
}

fn hint(thing: &AccessThing) -> String {
    match (&thing.workspace, thing.account.as_deref()) {
        (Some(workspace), _) => format!("rig access ls {workspace}"),
        (None, Some(id)) if id != ME => format!("rig access ls --account {id}"),
        (None, _) => "rig access ls --account".to_owned(),
    }
}
