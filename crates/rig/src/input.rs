//! Standard input, files that users name, and questions.
//! Standard input is read by a thread of its own, because a read cannot be taken back: the thread
//! ends with the process.

use std::{
    collections::BTreeMap,
    env,
    io::{self, IsTerminal as _, Read as _},
    path::{Path, PathBuf},
    thread,
};

use secrecy::SecretString;
use tokio::sync::mpsc;

use crate::{
    config::read_bounded,
    error::{CommandError, CommandResult},
    output::Output,
    suggest, terminal,
};

/// Bytes of one read.
const CHUNK_BYTES: usize = 32 * 1024;
/// Reads that may wait to be sent.
const CHUNKS_MAX: usize = 4;
/// Longest key that is read.
const KEY_MAX_BYTES: usize = 4096;
/// Largest text that is taken from standard input.
const TEXT_MAX_BYTES: u64 = 16 * 1024 * 1024;

/// Standard input, chunk by chunk; it ends where standard input does.
pub(crate) fn stdin_chunks() -> CommandResult<mpsc::Receiver<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
    let read = move || {
        let mut buffer = vec![0_u8; CHUNK_BYTES];
        let mut stdin = io::stdin().lock();
        loop {
            let chunk = match stdin.read(&mut buffer) {
                Ok(0) => return,
                Ok(length) => buffer.get(..length).unwrap_or_default().to_vec(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // A terminal that is gone, for one: nothing more will come.
                Err(_) => return,
            };
            if sender.blocking_send(chunk).is_err() {
                return;
            }
        }
    };
    thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(read)
        .map_err(|error| CommandError::file("read standard input", &error))?;
    Ok(receiver)
}

/// A text that the user names: a file, or standard input for `-`.
pub(crate) async fn text_of(path: &Path) -> CommandResult<String> {
    if path != Path::new("-") {
        return read_bounded(path)
            .map_err(|error| CommandError::file(format!("read {}", path.display()), &error));
    }
    blocking("read standard input", || {
        let mut text = String::new();
        io::stdin().lock().take(TEXT_MAX_BYTES).read_to_string(&mut text)?;
        Ok(text)
    })
    .await
}

/// Waits for standard input beside everything else, so that Ctrl-C still ends the process.
async fn blocking<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> CommandResult<T> {
    let done = tokio::task::spawn_blocking(work).await.map_err(io::Error::other);
    done.flatten().map_err(|error| CommandError::file(what, &error))
}

/// A key from standard input or, where that is a terminal, from whoever sits there.
pub(crate) async fn key_from_stdin(output: &Output, question: &str) -> CommandResult<SecretString> {
    let text = if io::stdin().is_terminal() {
        let typed = terminal::read_hidden(KEY_MAX_BYTES, || output.prompt(question));
        output.prompt("\n");
        typed?
    } else {
        text_of(Path::new("-")).await?
    };
    key_from_text(&text)
}

/// A key out of a text that has nothing else.
pub(crate) fn key_from_text(text: &str) -> CommandResult<SecretString> {
    let key = text.trim();
    if key.is_empty() {
        return Err(CommandError::usage("there is no API key in what was given"));
    }
    if key.len() > KEY_MAX_BYTES || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(CommandError::usage("an API key is one word, such as rb_…"));
    }
    Ok(SecretString::from(key))
}

/// Whether somebody is there to be asked.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks; only `y` and `yes` are yes.
pub(crate) async fn confirmed(output: &Output, question: &str) -> CommandResult<bool> {
    output.prompt(&format!("{question} [y/N] "));
    let answer = blocking("read the answer", || {
        let mut answer = String::new();
        io::stdin().read_line(&mut answer)?;
        Ok(answer)
    })
    .await?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// Environment variables of `--env` and `--env-file`; the former win.
pub(crate) async fn variables(
    words: &[String],
    files: &[PathBuf],
) -> CommandResult<BTreeMap<String, String>> {
    let mut variables = BTreeMap::new();
    for file in files {
        let text = text_of(file).await?;
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let place = || format!("{} line {}", file.display(), number + 1);
            let (name, value) = line
                .split_once('=')
                .ok_or_else(|| CommandError::usage(format!("{}: write K=V", place())))?;
            let name = name.trim().trim_start_matches("export ").trim();
            variables.insert(name.to_owned(), unquoted(value.trim()).to_owned());
        }
    }
    for word in words {
        let (name, value) = variable(word)?;
        variables.insert(name, value);
    }
    Ok(variables)
}

/// `K=V`, or `K` with the value of our own environment.
fn variable(word: &str) -> CommandResult<(String, String)> {
    let (name, value) = match word.split_once('=') {
        Some((name, value)) => (name, value.to_owned()),
        None => {
            let missing = || {
                CommandError::usage(format!("'{word}' has no value, here or in your environment"))
                    .hint(format!("export {}=VALUE", suggest::quote(word)))
            };
            (word, env::var(word).map_err(|_| missing())?)
        }
    };
    if name.is_empty() {
        return Err(CommandError::usage(format!("'{word}' has no name; write K=V")));
    }
    Ok((name.to_owned(), value))
}

/// A value of a file without the quotes around it.
fn unquoted(value: &str) -> &str {
    ['"', '\'']
        .iter()
        .find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote))
        .unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_key_is_one_word() {
        for (text, expected) in
            [("rb_abc\n", Some("rb_abc")), ("", None), ("\n", None), ("a b", None), ("ä", None)]
        {
            let key = key_from_text(text).ok();
            assert_eq!(key.as_ref().map(|key| key.expose_secret()), expected, "{text:?}");
        }
    }

    #[tokio::test]
    async fn variables_come_from_words_and_files() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("env");
        std::fs::write(&file, "# comment\nA=1\nexport B=\"two words\"\n\nC='x=y'\n").unwrap();
        let words = ["A=over".to_owned(), "D=".to_owned()];
        let read = variables(&words, &[file]).await.unwrap();
        let read: Vec<_> = read.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(read, ["A=over", "B=two words", "C=x=y", "D="]);
        assert!(variables(&["=x".to_owned()], &[]).await.is_err());
        assert!(variables(&["RIG_TEST_NOT_SET".to_owned()], &[]).await.is_err());
    }
}
