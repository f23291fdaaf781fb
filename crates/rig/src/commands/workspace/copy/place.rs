//! What the two words of `rig cp` mean. Pure.

use std::path::PathBuf;

/// One side of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A path here.
    Local(PathBuf),
    /// A path in a workspace; a relative one begins in the user's home.
    Remote {
        /// As it was typed.
        workspace: String,
        /// Empty for the home.
        path: String,
    },
    /// Standard input or output.
    Stream,
}

impl Place {
    /// Reads a word: a colon before any slash means a workspace, as scp has it.
    pub(super) fn read(word: &str) -> Self {
        if word == "-" {
            return Self::Stream;
        }
        match word.split_once(':') {
            Some((workspace, path)) if !workspace.is_empty() && !workspace.contains('/') => {
                Self::Remote { workspace: workspace.to_owned(), path: path.to_owned() }
            }
            _ => Self::Local(PathBuf::from(word)),
        }
    }
}

/// `name` below the directory `path` of a workspace.
pub(super) fn below(path: &str, name: &str) -> String {
    match path.trim_end_matches('/') {
        "" if path.starts_with('/') => format!("/{name}"),
        "" => name.to_owned(),
        path => format!("{path}/{name}"),
    }
}

/// The last part of a path of a workspace; none where that is no name.
pub(super) fn last_name(path: &str) -> Option<&str> {
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    is_name(name).then_some(name)
}

/// Whether a name from a workspace is one plain name: a workspace is not trusted to say where
/// files go here.
pub(super) fn is_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\0'])
}

/// Permission bits as the API writes them; what is beyond them (set-user-id and the like) is not
/// carried over.
pub(super) fn mode_bits(text: &str) -> Option<u32> {
    u32::from_str_radix(text, 8).ok().map(|mode| mode & 0o777)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colon_before_a_slash_means_a_workspace() {
        let remote = |workspace: &str, path: &str| Place::Remote {
            workspace: workspace.to_owned(),
            path: path.to_owned(),
        };
        for (word, expected) in [
            ("-", Place::Stream),
            ("demo:", remote("demo", "")),
            ("demo:/etc/a:b", remote("demo", "/etc/a:b")),
            ("./a:b", Place::Local("./a:b".into())),
            (":x", Place::Local(":x".into())),
            ("a.txt", Place::Local("a.txt".into())),
        ] {
            assert_eq!(Place::read(word), expected, "{word}");
        }
    }

    #[test]
    fn paths_are_joined_and_names_are_plain() {
        for (path, expected) in
            [("", "x"), ("/", "/x"), ("a", "a/x"), ("a/", "a/x"), ("/srv/www//", "/srv/www/x")]
        {
            assert_eq!(below(path, "x"), expected);
        }
        assert_eq!(
            [last_name("/a/b/"), last_name("b"), last_name("/"), last_name("a/..")],
            [Some("b"), Some("b"), None, None]
        );
        for name in ["", ".", "..", "a/b", "/etc/passwd", "../x", "a\0b"] {
            assert!(!is_name(name), "{name:?}");
        }
        assert_eq!(
            [mode_bits("4755"), mode_bits("0644"), mode_bits("x")],
            [Some(0o755), Some(0o644), None]
        );
    }
}
