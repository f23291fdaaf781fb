//! A password from standard input: never from the command line, where every process of the machine
//! could read it. Whether it is a good one is the API's to say.

use std::io::{IsTerminal as _, Read as _};

use anyhow::{Context, bail};
use secrecy::SecretString;

/// More than any password has, so that a file which is none is told by that.
const MOST_BYTES: u64 = 4096;

/// Reads it whole, without the end of its line.
///
/// # Errors
/// Where there is none, or something that is no line of text.
pub(crate) fn from_stdin() -> anyhow::Result<SecretString> {
    let input = std::io::stdin();
    if input.is_terminal() {
        bail!(
            "a password is read from standard input, where a terminal would show it\n\
             hint: pass show rigbox/ann | rigbox user set-password ann@example.com --password-stdin"
        );
    }
    // As large as it can become, so that no copy is left behind.
    let mut text = String::with_capacity(usize::try_from(MOST_BYTES).unwrap_or_default());
    input
        .lock()
        .take(MOST_BYTES)
        .read_to_string(&mut text)
        .context("read the password from standard input: it must be text")?;
    line(text)
}

fn line(mut text: String) -> anyhow::Result<SecretString> {
    if text.ends_with('\n') {
        text.pop();
    }
    if text.ends_with('\r') {
        text.pop();
    }
    if text.is_empty() {
        bail!("standard input holds no password");
    }
    if text.contains('\n') {
        bail!("standard input holds more than one line: a password is one");
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_password_is_one_line_without_its_end() {
        for (text, expected) in [
            ("correct horse", Some("correct horse")),
            ("correct horse\n", Some("correct horse")),
            (" correct horse \r\n", Some(" correct horse ")),
            ("", None),
            ("\n", None),
            ("two\nlines\n", None),
            ("one\n\n", None),
        ] {
            let read = line(text.to_owned());
            let read = read.as_ref().map(|secret| secret.expose_secret()).ok();
            assert_eq!(read, expected, "{text:?}");
        }
    }
}
