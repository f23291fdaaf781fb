//! What a process is, as far as a unit has to know it, from `/proc`.
//! Invariants: all of it is bounded; of its environment only what is no secret is looked at twice.

use std::{fs::File, io::Read as _, path::Path};

use rigbox_types::{api::error::ErrorCode, guest::units::KEPT_VARIABLES};

use crate::agent::{Guest, refusal::Refusal, users::User};

/// Longest command line that goes into a unit.
const COMMAND_MAX_BYTES: usize = 32 * 1024;

/// Most of an environment that is looked at.
const ENVIRONMENT_MAX_BYTES: usize = 256 * 1024;

/// Longest value that is kept.
const VALUE_MAX_LEN: usize = 4_096;

/// Longest text about a process.
const STATUS_MAX_BYTES: usize = 64 * 1024;

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    /// The file that it runs.
    pub(super) program: String,
    /// Its command line, with what it is called.
    pub(super) words: Vec<String>,
    /// Its working directory.
    pub(super) directory: String,
    /// The name of its user, or the number of one that has none.
    pub(super) user: String,
    /// What is kept of its environment.
    pub(super) environment: Vec<(String, String)>,
}

/// Reads it.
pub(super) fn read(guest: &Guest, pid: u32) -> Result<Process, Refusal> {
    let folder = format!("/proc/{pid}");
    let folder = Path::new(&folder);
    // Its paths would mean others to systemd.
    let is_apart = |name: &str| {
        let of = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/{name}")).ok();
        of("1").zip(of(&pid.to_string())).is_some_and(|(init, its)| init != its)
    };
    if is_apart("mnt") || is_apart("pid") || link(folder, "root")? != "/" {
        return Err(unfit("it runs in a container: have what runs containers start it at boot"));
    }
    let program = link(folder, "exe")?;
    if !Path::new(&program).exists() {
        return Err(unfit("its program is not there any more: start it again, then repeat this"));
    }
    let directory = link(folder, "cwd")?;
    if !Path::new(&directory).is_dir() {
        return Err(unfit("its working directory is not there any more: start it in another one"));
    }
    let (command, is_whole) = start_of(folder, "cmdline", COMMAND_MAX_BYTES)?;
    if !is_whole {
        return Err(unfit(&format!("its command line has more than {COMMAND_MAX_BYTES} bytes")));
    }
    let words = words(&command).ok_or_else(|| unfit("its command line is empty or no UTF-8"))?;
    let (status, _) = start_of(folder, "status", STATUS_MAX_BYTES)?;
    let uid = uid(&String::from_utf8_lossy(&status)).ok_or_else(gone)?;
    let (environment, _) = start_of(folder, "environ", ENVIRONMENT_MAX_BYTES)?;
    let passwd = guest.root.read_or_empty("/etc/passwd");
    let name = User::name_of(&passwd, uid).filter(|name| is_plain(name));
    Ok(Process {
        program,
        words,
        directory,
        user: name.unwrap_or_else(|| uid.to_string()),
        environment: kept(&environment),
    })
}

fn link(folder: &Path, name: &str) -> Result<String, Refusal> {
    let target = std::fs::read_link(folder.join(name)).map_err(|_| gone())?;
    let target = target.into_os_string().into_string();
    target.map_err(|_| unfit("the name of its program or of its directory is no UTF-8"))
}

/// The start of a file, and whether that is all of it.
fn start_of(folder: &Path, name: &str, max: usize) -> Result<(Vec<u8>, bool), Refusal> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    let file = File::open(folder.join(name));
    file.and_then(|file| file.take(limit).read_to_end(&mut bytes)).map_err(|_| gone())?;
    let is_whole = bytes.len() <= max;
    bytes.truncate(max);
    Ok((bytes, is_whole))
}

/// Each word ends with a NUL.
fn words(command: &[u8]) -> Option<Vec<String>> {
    let text = std::str::from_utf8(command).ok()?;
    let text = text.strip_suffix('\0').unwrap_or(text);
    (!text.is_empty()).then(|| text.split('\0').map(str::to_owned).collect())
}

/// The effective one.
fn uid(status: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn kept(environment: &[u8]) -> Vec<(String, String)> {
    let of_name = |name: &&str| {
        let mut lines = environment.split(|byte| *byte == 0);
        let value = lines.find_map(|line| {
            line.strip_prefix(name.as_bytes())?.strip_prefix(b"=").map(<[u8]>::to_vec)
        });
        let value = String::from_utf8(value?).ok()?;
        (value.len() <= VALUE_MAX_LEN).then(|| ((*name).to_owned(), value))
    };
    KEPT_VARIABLES.iter().filter_map(of_name).collect()
}

fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
        && name.len() <= 31
        && name.bytes().all(plain)
}

/// It may be that it ended since it was found.
fn gone() -> Refusal {
    Refusal::new(
        ErrorCode::Conflict,
        "the process that listened is gone: repeat this when it listens",
    )
}

pub(super) fn unfit(why: &str) -> Refusal {
    Refusal::new(ErrorCode::Conflict, format!("no unit can be made of what listens: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_command_line_are_kept_also_empty_ones() {
        assert_eq!(words(b"a\0\0b c\0"), Some(vec!["a".into(), String::new(), "b c".into()]));
        for none in [&b""[..], b"\0", b"a\xff\0"] {
            assert_eq!(words(none), None, "{none:?}");
        }
    }

    #[test]
    fn of_an_environment_only_what_is_no_secret_is_kept() {
        let environment = b"API_KEY=secret\0PORT=3000\0PATH=/a:/b\0PORTS=1\0TZ\0LANG=\xff\0";
        let expected = [("PATH", "/a:/b"), ("PORT", "3000")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(kept(environment), expected);
        let long = format!("PATH={}\0", "x".repeat(VALUE_MAX_LEN + 1));
        assert_eq!(kept(long.as_bytes()), []);
    }

    #[test]
    fn the_user_is_the_effective_one_and_has_a_plain_name() {
        assert_eq!(uid("Name:\tx\nUid:\t1000\t1001\t1000\t1000\n"), Some(1001));
        assert_eq!(uid("Name:\tUid:\n"), None);
        assert!(is_plain("developer") && is_plain("_www-data"));
        for odd in ["", "Root", "a b", "%u", "a\nUser=root", "1000"] {
            assert!(!is_plain(odd), "{odd:?}");
        }
    }
}
