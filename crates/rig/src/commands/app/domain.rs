//! `rig app domain`: a host name of one's own that leads to an app.

use http::Method;
use rigbox_types::api::{
    apps::{App, UpdateAppRequest, VerifyDomainResponse},
    change::Change,
};

use super::{change::patch, find, path};
use crate::{
    cli::DomainArgs,
    client::{Call, ClientError, Document},
    error::{CommandError, CommandResult},
    output::{Cell, Tone},
    session::Session,
};

/// Does what the words say.
pub(super) async fn run(session: &Session, args: &DomainArgs) -> CommandResult {
    let found = find(session, &args.target.app).await?;
    let app = &found.value;
    if args.verify {
        return verify(session, app).await;
    }
    if args.remove {
        return set(session, app, Change::Clear).await;
    }
    if let Some(domain) = &args.domain {
        return set(session, app, Change::Set(domain.clone())).await;
    }
    if !session.output.is_human() {
        return session.output.document(&found.raw);
    }
    match &app.custom_domain {
        Some(domain) => {
            session.output.line(format!("{domain} {}", state(app.custom_domain_verified)))
        }
        None => {
            session.output.notice(format!("{} has no domain of its own", app.name));
            session.output.hint(&format!("rig app domain {} app.example.com", app.name));
            Ok(())
        }
    }
}

/// A domain with whether it leads here.
pub(super) fn cell(domain: &str, verified: bool) -> Cell {
    let tone = if verified { Tone::Good } else { Tone::Busy };
    Cell::toned(format!("{domain} {}", state(verified)), tone)
}

fn state(verified: bool) -> &'static str {
    if verified { "(verified)" } else { "(not verified)" }
}

async fn set(session: &Session, app: &App, domain: Change<String>) -> CommandResult {
    let request = UpdateAppRequest { custom_domain: domain, ..UpdateAppRequest::default() };
    let answer = patch(session, app, &request).await?;
    if !session.output.is_human() {
        return session.output.document(&answer.raw);
    }
    let app = &answer.value.app;
    let Some(domain) = &app.custom_domain else {
        return session.output.line(format!("{} has no domain of its own now", app.name));
    };
    session.output.line(format!("{} has the domain {domain}", app.name))?;
    // It may lead here already; who has to make a record first is told which.
    match look_up(session, app).await {
        Ok(found) => tell(session, app, domain, &found.value),
        Err(error) => {
            let verify = format!("rig app domain {} --verify", app.name);
            session.output.warning(format!("not verified yet: {error}"), Some(&verify));
            Ok(())
        }
    }
}

async fn verify(session: &Session, app: &App) -> CommandResult {
    let Some(domain) = &app.custom_domain else {
        return Err(CommandError::failed(format!("{} has no domain of its own", app.name))
            .coded("invalid_state")
            .hint(format!("rig app domain {} app.example.com", app.name)));
    };
    let answer = look_up(session, app).await?;
    if session.output.is_human() {
        tell(session, app, domain, &answer.value)?;
    } else {
        session.output.document(&answer.raw)?;
    }
    if answer.value.verified { Ok(()) } else { Err(CommandError::silent(1)) }
}

async fn look_up(
    session: &Session,
    app: &App,
) -> Result<Document<VerifyDomainResponse>, ClientError> {
    session.client.fetch(Call::new(Method::POST, path(&app.id).then("/verify-domain"))).await
}

fn tell(
    session: &Session,
    app: &App,
    domain: &str,
    answer: &VerifyDomainResponse,
) -> CommandResult {
    if answer.verified {
        return session.output.line(format!("{domain} leads here: https://{domain}/"));
    }
    let found = if answer.found.is_empty() { "nothing".to_owned() } else { answer.found.join(" ") };
    session.output.notice(format!("{domain} does not lead here yet: it leads to {found}"));
    session.output.notice(format!("make this DNS record: {domain}. CNAME {}.", answer.expected));
    session.output.hint(&format!("rig app domain {} --verify", app.name));
    Ok(())
}
