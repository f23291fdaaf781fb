//! The systemd unit that a service spec becomes. Pure: the API's preview and what the guest gets are
//! the same text.
//! Invariant: nothing in a spec can add a line, a section or a specifier to the unit: line ends are
//! refused, `%` is doubled, values of variables are quoted.

use std::{collections::BTreeMap, fmt::Write as _};

use rigbox_types::{
    WorkspaceName, api::service_specs::RestartPolicy, limits::EXEC_START_MAX_LEN,
    text::EnvironmentFile,
};

use crate::{
    error::Invalid,
    validate::{env, text},
};

/// Prefix characters of `ExecStart=` that change how systemd runs a command, such as `+` for full
/// rights.
const EXEC_PREFIXES: [char; 6] = ['@', '-', ':', '+', '!', '|'];

/// The parts of a spec that its unit is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UnitParts<'a> {
    pub(crate) name: &'a str,
    pub(crate) exec_start: &'a str,
    pub(crate) env_vars: &'a BTreeMap<String, String>,
    pub(crate) environment_file: Option<&'a str>,
    pub(crate) restart_policy: RestartPolicy,
}

/// Checks what [`render`] relies on.
pub(crate) fn check(parts: &UnitParts<'_>) -> Result<(), Invalid> {
    parts.name.parse::<WorkspaceName>().map_err(|error| Invalid::new("name", error.to_string()))?;
    check_exec_start(parts.exec_start)?;
    env::check("env_vars", parts.env_vars)?;
    let file = parts.environment_file.map_or(Ok(()), EnvironmentFile::check);
    text::in_field("environment_file", file)
}

/// The unit file.
pub(crate) fn render(parts: &UnitParts<'_>) -> String {
    let mut unit = format!(
        "# Made by Rigbox from the service spec '{name}'; written anew at each boot.\n\
         [Unit]\n\
         Description={name} (service of this workspace)\n\
         Wants=network-online.target\n\
         After=network-online.target\n\
         StartLimitIntervalSec=0\n\
         \n\
         [Service]\n\
         Type=exec\n\
         User=developer\n\
         WorkingDirectory=/home/developer\n",
        name = parts.name,
    );
    for (name, value) in parts.env_vars {
        // Writing to a `String` cannot fail.
        writeln!(unit, "Environment=\"{name}={}\"", quoted(value)).unwrap_or_default();
    }
    unit.push_str(
        "EnvironmentFile=-/home/developer/.rigbox/.env\n\
         EnvironmentFile=-/home/developer/.rigbox/proxy.env\n",
    );
    if let Some(file) = parts.environment_file {
        writeln!(unit, "EnvironmentFile=-{}", unspecified(file)).unwrap_or_default();
    }
    writeln!(unit, "ExecStart={}", unspecified(parts.exec_start)).unwrap_or_default();
    writeln!(unit, "Restart={}\nRestartSec=2", restart_word(parts.restart_policy))
        .unwrap_or_default();
    unit.push_str("\n[Install]\nWantedBy=multi-user.target\n");
    unit
}

fn restart_word(policy: RestartPolicy) -> &'static str {
    match policy {
        RestartPolicy::Always => "always",
        RestartPolicy::OnFailure => "on-failure",
        RestartPolicy::No => "no",
    }
}

/// Doubles `%`, so that it stands for itself and not for a specifier.
fn unspecified(text: &str) -> String {
    text.replace('%', "%%")
}

/// A value between double quotes of `Environment=`, where systemd knows C's escapes.
fn quoted(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for character in value.chars() {
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
    text
}

fn check_exec_start(line: &str) -> Result<(), Invalid> {
    let refuse = |rule: &str| Err(Invalid::new("exec_start", rule));
    if line.len() > EXEC_START_MAX_LEN {
        return refuse("may have at most 4096 bytes");
    }
    text::check_line("exec_start", line)?;
    if line.trim() != line || line.is_empty() {
        return refuse("must name a program, without blanks around the line");
    }
    if line.starts_with(EXEC_PREFIXES) {
        return refuse("may not begin with one of @ - : + ! |");
    }
    if !is_balanced(line) {
        return refuse("has a quote that does not end, or ends with a backslash");
    }
    if line.split_ascii_whitespace().any(|word| word == ";") {
        return refuse("may have one command only: write \\; for a semicolon of its own");
    }
    Ok(())
}

/// Whether every quote ends and no backslash waits for the next line.
fn is_balanced(line: &str) -> bool {
    let mut quote = None;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character == '\\' {
            let Some(_escaped) = characters.next() else { return false };
            continue;
        }
        match (character, quote) {
            ('"' | '\'', None) => quote = Some(character),
            (_, Some(open)) if open == character => quote = None,
            _ => {}
        }
    }
    quote.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts<'a>(exec_start: &'a str, env: &'a BTreeMap<String, String>) -> UnitParts<'a> {
        UnitParts {
            name: "web",
            exec_start,
            env_vars: env,
            environment_file: None,
            restart_policy: RestartPolicy::OnFailure,
        }
    }

    #[test]
    fn a_unit_says_what_the_spec_says() {
        let env = BTreeMap::from([("GREETING".to_owned(), "a \"b\"\n100% \\ $x".to_owned())]);
        let spec = UnitParts {
            environment_file: Some("/etc/x%y.env"),
            ..parts("/usr/bin/date +%s", &env)
        };
        assert_eq!(check(&spec), Ok(()));
        let unit = render(&spec);
        for line in [
            "Environment=\"GREETING=a \\\"b\\\"\\n100%% \\\\ $x\"",
            "EnvironmentFile=-/home/developer/.rigbox/.env",
            "EnvironmentFile=-/etc/x%%y.env",
            "ExecStart=/usr/bin/date +%%s",
            "Restart=on-failure",
            "User=developer",
        ] {
            assert!(unit.lines().any(|found| found == line), "{line} is not in\n{unit}");
        }
    }

    #[test]
    fn a_spec_cannot_break_out_of_its_line() {
        let none = BTreeMap::new();
        for line in [
            "",
            " x",
            "x ",
            "a\nExecStartPre=+/bin/sh",
            "a\r",
            "a\0",
            "+/bin/sh",
            "!/bin/sh",
            "-/bin/false",
            "@/bin/sh sh",
            "a \\",
            "a 'b",
            "a \"b",
            "a ; b",
            "a\u{85}b",
        ] {
            assert!(check(&parts(line, &none)).is_err(), "{line:?}");
        }
        for line in ["python3 -m http.server 8000", "sh -c 'a; b'", "a \\; b", "a \"it's\""] {
            assert_eq!(check(&parts(line, &none)), Ok(()), "{line}");
        }
        for file in ["relative", "/a\nUser=root", "/a\"", "/*"] {
            let spec = UnitParts { environment_file: Some(file), ..parts("a", &none) };
            assert!(check(&spec).is_err(), "{file:?}");
        }
        let spec = UnitParts { name: "a\nb", ..parts("a", &none) };
        assert_eq!(check(&spec).unwrap_err().field, "name");
    }

    #[test]
    fn no_value_can_end_its_quotes() {
        let nasty = "\"\nUser=root\n[Service]\r\n\u{1}%n\\\"".to_owned();
        let env = BTreeMap::from([("X".to_owned(), nasty)]);
        let plain = BTreeMap::from([("X".to_owned(), String::new())]);
        let lines = |env| render(&parts("a", env)).lines().count();
        assert_eq!(lines(&env), lines(&plain));
        assert!(!render(&parts("a", &env)).lines().any(|line| line == "User=root"));
    }
}
