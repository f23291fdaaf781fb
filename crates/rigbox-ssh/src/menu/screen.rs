//! What the menu looks like, and what keys mean to it. Pure.
//! Invariant: what comes of names and texts has no control characters, so that nothing but the menu
//! moves the cursor.

use crate::directory::{Menu, MenuEntry};

/// Most workspaces that are shown; more can be named.
const SHOWN_MAX: usize = 200;
/// Most characters of a name, status or user.
const SHOWN_CHARS: usize = 64;
/// Most characters of a line.
const LINE_MAX: usize = 64;

pub(super) struct Screen<'m> {
    pub(super) menu: &'m Menu,
    /// A terminal does not go back to the line's beginning by itself.
    pub(super) has_terminal: bool,
}

impl<'m> Screen<'m> {
    /// The list, and the question if somebody can choose.
    pub(super) fn list(&self, chooses: bool) -> String {
        let entries = || self.menu.entries.iter().take(SHOWN_MAX);
        let width = |of: fn(&MenuEntry) -> &str| {
            entries().map(|entry| plain(of(entry)).chars().count()).max().unwrap_or(0)
        };
        let (names, statuses) = (width(|entry| &entry.name), width(|entry| &entry.status));
        let mut text = String::new();
        for (at, entry) in entries().enumerate() {
            let number = if chooses { format!("{:>4}  ", at + 1) } else { String::new() };
            let (name, status) = (plain(&entry.name), plain(&entry.status));
            let user = plain(&entry.user);
            text += &format!("{number}{name:<names$}  {status:<statuses$}  {user}\n");
        }
        let more = self.menu.entries.len().saturating_sub(SHOWN_MAX);
        if more > 0 {
            text += &format!("and {more} more\n");
        }
        if self.menu.entries.is_empty() {
            text += "there is no workspace yet\n";
        }
        if let Some(note) = &self.menu.note {
            text += &format!("{}\n", lines(note));
        }
        if chooses {
            text += &format!("\n{}", self.prompt());
        }
        self.told(&text)
    }

    fn prompt(&self) -> &'static str {
        if self.menu.entries.is_empty() { "q to leave: " } else { "number or name, q to leave: " }
    }

    /// Why somebody's command was not executed.
    pub(super) fn hint(&self) -> String {
        self.told(
            "the menu runs no commands: ssh to a workspace by its user name, the last column\n",
        )
    }

    pub(super) fn entering(&self, entry: &MenuEntry) -> String {
        self.told(&format!("\nentering {}\n", plain(&entry.name)))
    }

    /// Why it is not what was asked for, and the question again.
    pub(super) fn cannot(&self, why: &str) -> String {
        self.told(&format!("\n{}\n{}", lines(why), self.prompt()))
    }

    /// What a line means; nothing where somebody wants to leave.
    pub(super) fn chosen(&self, line: &str) -> Result<Option<&'m MenuEntry>, String> {
        let line = line.trim();
        let entries = &self.menu.entries;
        let named = || entries.iter().find(|entry| entry.user == line || entry.name == line);
        let number = line.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        let numbered = number.and_then(|at| entries.iter().take(SHOWN_MAX).nth(at));
        match (numbered.or_else(named), line) {
            (Some(entry), _) => Ok(Some(entry)),
            (None, "q") => Ok(None),
            (None, "") => Err("choose one".to_owned()),
            (None, line) => Err(format!("there is no {line}")),
        }
    }

    fn told(&self, text: &str) -> String {
        if self.has_terminal { text.replace('\n', "\r\n") } else { text.to_owned() }
    }
}

fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(SHOWN_CHARS).collect()
}

fn lines(text: &str) -> String {
    text.chars().filter(|c| *c == '\n' || !c.is_control()).collect()
}

/// What a key does.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// Shows something, or nothing.
    Echo(&'static str),
    /// Ends the line.
    Done(String),
    /// Leaves.
    Leave,
}

/// A line that is being typed.
#[derive(Default)]
pub(super) struct Line {
    typed: String,
    escape: Escape,
}

/// What is typed with arrows and the like: they do nothing.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Escape {
    #[default]
    No,
    Begun,
    Within,
}

impl Line {
    pub(super) fn key(&mut self, key: u8) -> Key {
        match (self.escape, key) {
            (Escape::Begun, b'[' | b'O') => {
                self.escape = Escape::Within;
                return Key::Echo("");
            }
            (Escape::Within, 0x20..=0x3f) => return Key::Echo(""),
            (Escape::Within, 0x40..=0x7e) => {
                self.escape = Escape::No;
                return Key::Echo("");
            }
            _ => self.escape = Escape::No,
        }
        match key {
            b'\r' | b'\n' => Key::Done(std::mem::take(&mut self.typed)),
            // Ctrl-C and Ctrl-D.
            0x03 | 0x04 => Key::Leave,
            0x08 | 0x7f if self.typed.pop().is_some() => Key::Echo("\u{8} \u{8}"),
            // Ctrl-U begins the line anew.
            0x15 => {
                self.typed.clear();
                Key::Echo("\r\u{1b}[K")
            }
            0x1b => {
                self.escape = Escape::Begun;
                Key::Echo("")
            }
            b' '..=b'~' if self.typed.len() < LINE_MAX => {
                self.typed.push(char::from(key));
                Key::Echo(shown(key))
            }
            _ => Key::Echo(""),
        }
    }
}

/// The character of a key.
fn shown(key: u8) -> &'static str {
    const ALL: &str = " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`\
        abcdefghijklmnopqrstuvwxyz{|}~";
    let at = usize::from(key.saturating_sub(b' '));
    ALL.get(at..=at).unwrap_or_default()
}

#[cfg(test)]
mod tests;
