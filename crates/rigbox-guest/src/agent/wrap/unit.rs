//! The text of a unit that does what a process does. Pure.
//! Invariant: nothing of a process can add a line, a word, a section, a specifier or a variable to the
//! unit: every word is quoted, `%` is doubled, and `$` means itself.

use std::fmt::Write as _;

use super::process::Process;

/// Why there is no such unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfit {
    /// systemd takes no directory with such a name.
    Directory,
    /// systemd takes no program with such a name.
    Program,
}

/// The unit file.
pub(super) fn render(name: &str, of: &Process) -> Result<String, Unfit> {
    // What is an absolute path without anything special, systemd takes as it is.
    if !is_plain_path(&of.program) {
        return Err(Unfit::Program);
    }
    // This setting knows no quotes.
    if !is_plain_path(&of.directory) {
        return Err(Unfit::Directory);
    }
    let mut unit = format!(
        "# Made by Rigbox of a process that listened; yours to change.\n\
         [Unit]\n\
         Description={name} (app of this workspace)\n\
         Wants=network-online.target\n\
         After=network-online.target\n\
         StartLimitIntervalSec=0\n\
         \n\
         [Service]\n\
         Type=exec\n\
         User={user}\n\
         WorkingDirectory={directory}\n",
        user = of.user,
        directory = doubled(&of.directory),
    );
    for (name, value) in &of.environment {
        // Writing to a `String` cannot fail.
        writeln!(unit, "Environment={}", quoted(&format!("{name}={value}"))).unwrap_or_default();
    }
    unit.push_str(
        "EnvironmentFile=-/home/developer/.rigbox/.env\n\
         EnvironmentFile=-/home/developer/.rigbox/proxy.env\n",
    );
    // `:` leaves `$` alone; `@` says that the second word is what the program is called.
    write!(unit, "ExecStart={}", quoted(&format!(":@{}", of.program))).unwrap_or_default();
    for word in &of.words {
        write!(unit, " {}", quoted(word)).unwrap_or_default();
    }
    unit.push_str("\nRestart=on-failure\nRestartSec=2\n\n[Install]\nWantedBy=multi-user.target\n");
    Ok(unit)
}

fn is_plain_path(path: &str) -> bool {
    path.starts_with('/')
        && !path.chars().any(char::is_control)
        && !path.ends_with(|last: char| last.is_whitespace() || last == '\\')
}

/// `%` stands for itself and not for a specifier.
fn doubled(text: &str) -> String {
    text.replace('%', "%%")
}

/// One word, between double quotes, where systemd knows C's escapes.
fn quoted(word: &str) -> String {
    let mut text = String::with_capacity(word.len().saturating_add(2));
    text.push('"');
    for character in word.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '%' => text.push_str("%%"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            control if control.is_ascii_control() => {
                write!(text, "\\x{:02x}", u32::from(control)).unwrap_or_default();
            }
            plain => text.push(plain),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(words: &[&str]) -> Process {
        Process {
            program: "/usr/bin/python3.11".to_owned(),
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            directory: "/home/developer/api".to_owned(),
            user: "developer".to_owned(),
            environment: vec![("PORT".to_owned(), "3000".to_owned())],
        }
    }

    /// The line of a setting.
    fn line(of: &Process, setting: &str) -> String {
        let unit = render("web", of).unwrap();
        let mut lines = unit.lines().filter_map(|line| line.strip_prefix(setting));
        lines.next().unwrap_or_else(|| panic!("no {setting} in {unit}")).to_owned()
    }

    #[test]
    fn a_unit_does_what_the_process_does() {
        let unit = render("web", &process(&["python3", "-m", "http.server"])).unwrap();
        let expected = "[Service]\nType=exec\nUser=developer\nWorkingDirectory=/home/developer/api\n\
                        Environment=\"PORT=3000\"\n\
                        EnvironmentFile=-/home/developer/.rigbox/.env\n\
                        EnvironmentFile=-/home/developer/.rigbox/proxy.env\n\
                        ExecStart=\":@/usr/bin/python3.11\" \"python3\" \"-m\" \"http.server\"\n\
                        Restart=on-failure\n";
        assert!(unit.contains(expected), "{unit}");
        assert!(unit.ends_with("[Install]\nWantedBy=multi-user.target\n"), "{unit}");
    }

    #[test]
    fn every_word_of_a_command_stays_one_word_and_means_itself() {
        for (word, expected) in [
            ("", r#""""#),
            ("a b", r#""a b""#),
            (";", r#"";""#),
            ("#x", r##""#x""##),
            ("100%n", r#""100%%n""#),
            ("$HOME ${HOME} $$", r#""$HOME ${HOME} $$""#),
            (r#"say "hi""#, r#""say \"hi\"""#),
            ("it's", r#""it's""#),
            (r"C:\new\", r#""C:\\new\\""#),
            ("a\nExecStartPre=+/bin/sh", r#""a\nExecStartPre=+/bin/sh""#),
            ("\r\t\u{1}\u{7f}", r#""\r\t\x01\x7f""#),
            ("größe", r#""größe""#),
        ] {
            let found = line(&process(&[word]), "ExecStart=");
            assert_eq!(found, format!("\":@/usr/bin/python3.11\" {expected}"), "{word:?}");
        }
    }

    #[test]
    fn no_value_leaves_its_line() {
        let mut odd = process(&["x"]);
        odd.environment =
            vec![("PATH".to_owned(), "/a b:%h:\"$x\"\n[Service]\nUser=root".to_owned())];
        assert_eq!(line(&odd, "Environment="), r#""PATH=/a b:%%h:\"$x\"\n[Service]\nUser=root""#);
        odd.directory = "/srv/100% mine".to_owned();
        assert_eq!(line(&odd, "WorkingDirectory="), "/srv/100%% mine");
        odd.program = "/opt/my %app".to_owned();
        assert_eq!(line(&odd, "ExecStart="), r#"":@/opt/my %%app" "x""#);
    }

    #[test]
    fn what_systemd_cannot_say_makes_no_unit() {
        for directory in ["/a\nUser=root", "/a\\", "/a ", "relative", "~"] {
            let odd = Process { directory: directory.to_owned(), ..process(&["x"]) };
            assert_eq!(render("web", &odd), Err(Unfit::Directory), "{directory:?}");
        }
        let odd = Process { program: "/a\nb".to_owned(), ..process(&["x"]) };
        assert_eq!(render("web", &odd), Err(Unfit::Program));
    }
}
