//! The environment that leads programs of a workspace to AI. Here once: control has it written into the
//! guest, and `rig proxy` prints it.
//! Invariant: the names are a fixed list, so that whoever switches AI off knows what to unset; values need
//! no quoting.
//! Does not decide whether AI is on.

use std::collections::BTreeMap;

use crate::api::ai::AiProvider;

/// The file of a home that has it.
pub const PROXY_ENV: &str = ".rigbox/proxy.env";

/// The gateway of a workspace.
pub const GATEWAY: &str = "http://172.16.0.1:9090";

/// What stands where a program wants a key. It gives no right: who asks is known by where it asks from.
pub const PLACEHOLDER: &str = "managed-by-rigbox";

/// Variables through the gateway: what is behind its address; without one, the placeholder.
///
/// - OpenAI's SDKs append `/chat/completions` to an address that ends in `/v1`; Anthropic's append
///   `/v1/messages`, and Google's `/v1beta/…`, to one that does not.
/// - Anthropic's programs take `ANTHROPIC_AUTH_TOKEN` alone; with `ANTHROPIC_API_KEY` beside it, Claude
///   Code warns and asks. Google's take `GEMINI_API_KEY`, and warn of `GOOGLE_API_KEY` beside it.
/// - `OPENAI_API_BASE` is what older programs and LiteLLM read.
const THROUGH_GATEWAY: [(&str, Option<&str>); 11] = [
    ("OPENROUTER_BASE_URL", Some("/v1")),
    ("OPENROUTER_API_KEY", None),
    ("OPENAI_BASE_URL", Some("/v1")),
    ("OPENAI_API_BASE", Some("/v1")),
    ("OPENAI_API_KEY", None),
    ("ANTHROPIC_BASE_URL", Some("/anthropic")),
    ("ANTHROPIC_AUTH_TOKEN", None),
    ("GOOGLE_GEMINI_BASE_URL", Some("/google")),
    ("GEMINI_API_KEY", None),
    ("BRAVE_BASE_URL", Some("/brave")),
    ("BRAVE_API_KEY", None),
];

/// Anthropic's SDKs send a real key in a header of its own.
const ANTHROPIC_KEY: &str = "ANTHROPIC_API_KEY";

/// What programs that go through the gateway need.
#[must_use]
pub fn through_gateway() -> BTreeMap<String, String> {
    let value = |behind: Option<&str>| match behind {
        Some(path) => format!("{GATEWAY}{path}"),
        None => PLACEHOLDER.to_owned(),
    };
    THROUGH_GATEWAY.map(|(name, behind)| (name.to_owned(), value(behind))).into()
}

/// What programs that go to providers by themselves need: the owner's keys.
pub fn with_keys(keys: impl IntoIterator<Item = (AiProvider, String)>) -> BTreeMap<String, String> {
    keys.into_iter().map(|(provider, key)| (key_name(provider).to_owned(), key)).collect()
}

/// Every name that either of the two may have.
#[must_use]
pub fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = THROUGH_GATEWAY.iter().map(|(name, _)| *name).collect();
    names.push(ANTHROPIC_KEY);
    names
}

const fn key_name(provider: AiProvider) -> &'static str {
    match provider {
        AiProvider::Google => "GEMINI_API_KEY",
        AiProvider::Openai => "OPENAI_API_KEY",
        AiProvider::Anthropic => ANTHROPIC_KEY,
        AiProvider::Openrouter => "OPENROUTER_API_KEY",
        AiProvider::Brave => "BRAVE_API_KEY",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_is_one_that_switching_off_unsets() {
        let keys = AiProvider::ALL.map(|provider| (provider, "sk".to_owned()));
        for name in through_gateway().into_keys().chain(with_keys(keys).into_keys()) {
            assert!(names().contains(&name.as_str()), "{name}");
        }
    }

    #[test]
    fn addresses_are_what_each_sdk_appends_its_path_to() {
        let env = through_gateway();
        assert_eq!(env["OPENAI_BASE_URL"], "http://172.16.0.1:9090/v1");
        assert_eq!(env["OPENROUTER_BASE_URL"], "http://172.16.0.1:9090/v1");
        assert_eq!(env["ANTHROPIC_BASE_URL"], "http://172.16.0.1:9090/anthropic");
        assert_eq!(env["GOOGLE_GEMINI_BASE_URL"], "http://172.16.0.1:9090/google");
        assert_eq!(env["OPENROUTER_API_KEY"], "managed-by-rigbox");
        assert!(!env.contains_key("ANTHROPIC_API_KEY") && !env.contains_key("GOOGLE_API_KEY"));
    }
}
