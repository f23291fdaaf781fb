//! Which server and which key a command uses, from the command line, the environment and the
//! configuration, in that order. Pure but for reading what it is given.
//! Invariant: a key that is kept for one server is never sent to another.

use std::path::PathBuf;

use secrecy::SecretString;

use crate::{
    client::{DEFAULT_URL, ServerUrl},
    config::{Config, Context},
    error::{CommandError, CommandResult},
    suggest,
};

/// What the command line and the environment say.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wishes {
    /// `--context` or `RIG_CONTEXT`.
    pub(crate) context: Option<String>,
    /// `RIGBOX_API_URL`.
    pub(crate) url: Option<String>,
    /// `RIG_API_KEY`.
    pub(crate) key: Option<SecretString>,
    /// `--ca` or `RIGBOX_CA`.
    pub(crate) ca_file: Option<PathBuf>,
}

/// Where a key came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeySource {
    /// `RIG_API_KEY`.
    Environment,
    /// The configuration file.
    Config,
    /// There is none.
    Missing,
}

impl KeySource {
    /// For people and programs.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Environment => "RIG_API_KEY",
            Self::Config => "configuration",
            Self::Missing => "none",
        }
    }
}

/// The server and key that a command uses.
#[derive(Debug, Clone)]
pub(crate) struct Profile {
    /// Name of the context, where the server is that of one.
    pub(crate) context: Option<String>,
    /// The server.
    pub(crate) url: ServerUrl,
    /// The key.
    pub(crate) key: Option<SecretString>,
    /// Where the key came from.
    pub(crate) key_source: KeySource,
    /// Certificates to trust instead of the system's.
    pub(crate) ca_file: Option<PathBuf>,
}

impl Profile {
    /// Decides.
    pub(crate) fn choose(config: &Config, wishes: &Wishes) -> CommandResult<Self> {
        let url = wishes.url.as_deref().map(parse_url).transpose()?;
        let (name, context) = match (&wishes.context, &url) {
            (Some(name), _) => (Some(name.clone()), Some(named(config, name)?)),
            // An address without a context means whichever context has that server.
            (None, Some(url)) => of_server(config, url),
            (None, None) => match &config.current_context {
                Some(name) => (Some(name.clone()), Some(named(config, name)?)),
                None => (None, None),
            },
        };
        let server = url.or_else(|| context.map(|context| context.url.clone()));
        let server = server.map_or_else(|| parse_url(DEFAULT_URL), Ok)?;
        let same = context.filter(|context| context.url == server);
        let kept = same.and_then(|context| context.key.clone());
        let (key, key_source) = match (wishes.key.clone(), kept) {
            (Some(key), _) => (Some(key), KeySource::Environment),
            (None, Some(key)) => (Some(key), KeySource::Config),
            (None, None) => (None, KeySource::Missing),
        };
        let kept = same.and_then(|context| context.ca_file.clone());
        let ca_file = wishes.ca_file.clone().or(kept);
        Ok(Self { context: name.filter(|_| same.is_some()), url: server, key, key_source, ca_file })
    }
}

/// An address from the command line or the environment.
pub(crate) fn parse_url(text: &str) -> CommandResult<ServerUrl> {
    text.parse().map_err(|error| CommandError::usage(format!("{error}")))
}

/// The context with this name.
pub(crate) fn named<'a>(config: &'a Config, name: &str) -> CommandResult<&'a Context> {
    config.contexts.get(name).ok_or_else(|| {
        let known = config.contexts.keys().map(String::as_str);
        let error = CommandError::usage(format!("there is no context '{name}'"));
        match suggest::near(name, known) {
            Some(near) => error.hint(format!("rig context use {near}")),
            None => error.hint(format!("rig login --context {} --url URL", suggest::quote(name))),
        }
    })
}

/// The context of a server: the current one if it fits, else the first by name.
pub(crate) fn of_server<'a>(
    config: &'a Config,
    url: &ServerUrl,
) -> (Option<String>, Option<&'a Context>) {
    let current = config.current_context.as_ref();
    let current = current.and_then(|name| config.contexts.get_key_value(name));
    let found = current
        .filter(|(_, context)| context.url == *url)
        .or_else(|| config.contexts.iter().find(|(_, context)| context.url == *url));
    (found.map(|(name, _)| name.clone()), found.map(|(_, context)| context))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn config() -> Config {
        let text = r#"{"current_context":"home","contexts":{
            "home":{"url":"http://127.0.0.1:7070","key":"rb_home"},
            "work":{"url":"https://rigbox.example","key":"rb_work"}}}"#;
        serde_json::from_str(text).unwrap()
    }

    fn check(wishes: [Option<&str>; 3], expected: Option<[&str; 3]>) {
        let [context, url, key] = wishes;
        let wishes = Wishes {
            context: context.map(str::to_owned),
            url: url.map(str::to_owned),
            key: key.map(SecretString::from),
            ca_file: None,
        };
        let chosen = Profile::choose(&config(), &wishes).ok();
        let chosen = chosen.map(|profile| {
            let key = profile.key.map(|key| key.expose_secret().to_owned());
            [profile.context.unwrap_or_default(), profile.url.to_string(), key.unwrap_or_default()]
        });
        assert_eq!(chosen, expected.map(|texts| texts.map(str::to_owned)), "{wishes:?}");
    }

    #[test]
    fn the_nearest_word_wins() {
        let home = "http://127.0.0.1:7070";
        let work = "https://rigbox.example";
        check([None, None, None], Some(["home", home, "rb_home"]));
        check([Some("work"), None, None], Some(["work", work, "rb_work"]));
        check([Some("work"), None, Some("rb_env")], Some(["work", work, "rb_env"]));
        check([None, Some(work), None], Some(["work", work, "rb_work"]));
        check([Some("nowhere"), None, None], None);
        check([None, Some("ftp://x"), None], None);
    }

    #[test]
    fn a_kept_key_is_not_sent_to_another_server() {
        let other = "https://evil.example";
        check([None, Some(other), None], Some(["", other, ""]));
        check([Some("home"), Some(other), None], Some(["", other, ""]));
        check([Some("home"), Some(other), Some("rb_env")], Some(["", other, "rb_env"]));
    }
}
