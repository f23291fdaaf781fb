//! `rig api`: any request, its answer as it comes.

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;

use crate::{
    cli::ApiArgs,
    client::{Call, Path},
    error::{CommandError, CommandResult, Exit},
    input,
    session::App,
};

/// Sends a request and writes the body of its answer; a refusal's body too, because that is what
/// was asked for.
pub(super) async fn run(app: &App, args: &ApiArgs) -> CommandResult {
    let method = method(&args.method)?;
    let path = path(&args.path)?;
    let body = match &args.body {
        Some(file) => Some(Bytes::from(input::text_of(file).await?)),
        None => None,
    };
    let client = app.client(&app.profile()?);
    app.output.progress(format!("{method} {}", path.as_str()));
    let mut call = Call::new(method, path);
    if body.is_some() {
        // Declares the type; the bytes are the user's own.
        call = call.json(&())?;
    }
    let response = app.output.during(client.raw(&call, body)).await?;
    let status = response.status();
    let mut body = response.into_body();
    let mut ends_line = true;
    while let Some(frame) = app.output.during(body.frame()).await {
        let frame = frame.map_err(|error| client.broken(&error))?;
        if let Ok(bytes) = frame.into_data() {
            ends_line = bytes.last().is_none_or(|byte| *byte == b'\n');
            app.output.bytes(&bytes)?;
        }
    }
    if !ends_line {
        app.output.bytes(b"\n")?;
    }
    if status.is_success() {
        return Ok(());
    }
    let mut error = CommandError::failed(format!("the server answers {status}"));
    if status == StatusCode::UNAUTHORIZED {
        error.exit = Exit::NotSignedIn;
        error = error.hint("rig login");
    }
    Err(error)
}

fn method(text: &str) -> CommandResult<Method> {
    match text.to_ascii_uppercase().as_str() {
        "GET" => Ok(Method::GET),
        "POST" => Ok(Method::POST),
        "PUT" => Ok(Method::PUT),
        "PATCH" => Ok(Method::PATCH),
        "DELETE" => Ok(Method::DELETE),
        _ => Err(CommandError::usage(format!(
            "'{text}' is not one of GET, POST, PUT, PATCH, DELETE"
        ))
        .hint("rig api GET /workspaces")),
    }
}

/// Below the API's base, unless it names another one.
fn path(text: &str) -> CommandResult<Path> {
    let rooted = if text.starts_with('/') { text.to_owned() } else { format!("/{text}") };
    if !rooted.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(CommandError::usage("a path has no spaces and no letters beyond ASCII")
            .hint("rig api GET '/workspaces?max_results=5'"));
    }
    let is_whole = rooted.starts_with("/api/") || rooted.starts_with("/rig/");
    Ok(if is_whole { Path::absolute(rooted) } else { Path::api(&rooted) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_below_the_base_unless_it_says_otherwise() {
        for (text, expected) in [
            ("/workspaces", "/api/v1/workspaces"),
            ("workspaces?a=b", "/api/v1/workspaces?a=b"),
            ("/api/ws/terminal/x", "/api/ws/terminal/x"),
        ] {
            assert_eq!(path(text).unwrap().as_str(), expected);
        }
        assert!(path("/a b").is_err());
        assert!(method("get").is_ok() && method("FETCH").is_err());
    }
}
