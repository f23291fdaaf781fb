use super::{load::parse, *};

fn refused(text: &str) -> String {
    parse("rigbox.toml".into(), text).unwrap_err().to_string()
}

#[test]
fn the_documented_file_says_the_defaults() {
    assert_eq!(parse("default.toml".into(), DOCUMENTED).unwrap(), Config::default());
}

/// A provider of which everything is said.
fn provider() -> OidcSettings {
    OidcSettings {
        issuer: "https://id.example.com".to_owned(),
        client_id: "rigbox".to_owned(),
        client_secret_file: Some("/a".into()),
        display_name: Some("Example".to_owned()),
        scopes: vec!["openid".to_owned()],
        allowed_domains: vec!["example.com".to_owned()],
        create_accounts: false,
        plan: "free".parse().unwrap(),
        link_by_email: false,
        ca_file: Some("/b".into()),
    }
}

#[test]
fn every_key_is_documented() {
    let everything = Config {
        api: ApiConfig { url: Some("https://a.example".to_owned()), ..ApiConfig::default() },
        control: ControlConfig {
            uid: Some(1),
            database_url_file: Some("/a".into()),
            ..ControlConfig::default()
        },
        host: HostConfig {
            memory_mib: Some(1),
            vcpus: Some(1),
            pool_gib: Some(1),
            network: Some("10.0.0.0/16".to_owned()),
            disk_bps: Some(1),
            disk_iops: Some(1),
            net_bps: Some(1),
            ..HostConfig::default()
        },
        images: ImagesConfig {
            recipes: Some("/a".into()),
            guest: Some("/b".into()),
            ..ImagesConfig::default()
        },
        oidc: [("example".to_owned(), provider())].into(),
        certificates: rigbox_control::CertificateSettings {
            acme_directory: Some("https://ca.example/dir".to_owned()),
            acme_email: Some("a@example.com".to_owned()),
            acme_account_id: Some("id".to_owned()),
            acme_account_key_file: Some("/a".into()),
            acme_ca_file: Some("/a".into()),
            dns_alias: Some("a.example".to_owned()),
            ..rigbox_control::CertificateSettings::default()
        },
        ..Config::default()
    };
    let text = toml::to_string(&everything).unwrap();
    for line in text.lines().filter(|line| line.contains('=')) {
        let key = line.split('=').next().unwrap().trim();
        let documented = DOCUMENTED.lines().any(|line| {
            line.trim_start_matches("# ").split('=').next().is_some_and(|name| name.trim() == key)
        });
        assert!(documented, "{key} is not in default.toml");
    }
}

/// The keys that a table takes, as whoever reads it says of one that it does not.
fn known_keys(table: &str) -> Vec<String> {
    let head = if table.is_empty() { String::new() } else { format!("[{table}]\n") };
    let error = toml::from_str::<Config>(&format!("{head}no_such_key = 1\n")).unwrap_err();
    error.message().split('`').skip(3).step_by(2).map(str::to_owned).collect()
}

/// One line a key: its full name, its default and what the documented file says of it.
fn reference() -> String {
    let mut lines = "| key | default | what |\n|---|---|---|\n".to_owned();
    let (mut table, mut said) = (String::new(), Vec::new());
    for line in DOCUMENTED.lines() {
        let (is_off, rest) = match line.strip_prefix("# ") {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        if let Some(name) = rest.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            // One of many, of which there is none by default, under a name that is made up.
            table = format!("{}.", name.replace(".example", ".<name>"));
            said.clear();
        } else if let Some((key, value)) = rest.split_once(" = ")
            && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        {
            let default = if is_off { "-".to_owned() } else { format!("`{value}`") };
            let what = said.join(" ").replace('|', "\\|").replace('<', "\\<");
            lines.push_str(&format!("| `{table}{key}` | {default} | {what} |\n"));
            // Keys that stand together are explained together, at the first.
            said = vec!["As above."];
        } else if is_off {
            if said == ["As above."] {
                said.clear();
            }
            said.push(rest);
        } else {
            said.clear();
        }
    }
    lines
}

#[test]
fn no_key_is_missing_in_the_documented_file() {
    let reference = reference();
    let tables = known_keys("");
    assert!(tables.contains(&"host".to_owned()), "{tables:?}");
    for table in &tables {
        let keys = known_keys(table);
        let full = |key: &String| format!("| `{table}.{key}` |");
        let names = if keys.is_empty() {
            vec![format!("| `{table}` |")]
        } else {
            keys.iter().map(full).collect()
        };
        let any = format!("| `{table}.<name>.");
        for name in names {
            let is_there = reference.contains(&name) || reference.contains(&any);
            assert!(is_there, "{name} is not in default.toml");
        }
    }
}

#[test]
fn the_reference_page_says_what_the_documented_file_says() {
    const BEGIN: &str = "<!-- made of default.toml: UPDATE_CONFIG=1 cargo nextest run -p rigbox reference_page -->\n";
    const END: &str = "<!-- end -->\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/config.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let expected = format!("{before}{BEGIN}{}{END}{after}", reference());
    if std::env::var_os("UPDATE_CONFIG").is_some() {
        std::fs::write(path, expected).unwrap();
    } else {
        assert!(page == expected, "run UPDATE_CONFIG=1 cargo nextest run -p rigbox reference_page");
    }
}

#[test]
fn what_is_commented_out_can_be_switched_on() {
    let is_key = |line: &str| {
        let is_table = line.starts_with("# [") && line.ends_with(']');
        let key = line
            .strip_prefix("# ")
            .and_then(|rest| rest.split_once(" = "))
            .is_some_and(|(key, _)| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
        is_table || key
    };
    let text: String = DOCUMENTED
        .lines()
        .map(|line| if is_key(line) { line.trim_start_matches("# ") } else { line })
        .flat_map(|line| [line, "\n"])
        .collect();
    // An authority without its terms is refused.
    let text = text.replace("acme_terms_agreed = false", "acme_terms_agreed = true");
    let config = parse("default.toml".into(), &text).unwrap();
    assert_eq!(config.host.pool_gib, Some(100));
    assert!(config.control.database_url_file.is_some());
    assert_eq!(config.oidc["example"].issuer, provider().issuer);
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_one() {
    assert_eq!(
        refused("region = \"local\"\n[api]\nlisten_on = \"127.0.0.1:1\"\n"),
        "rigbox.toml, line 3: unknown key listen_on, the nearest known one is listen"
    );
    assert_eq!(
        refused("[hots]\n"),
        "rigbox.toml, line 1: unknown key hots, the nearest known one is host"
    );
}

#[test]
fn a_provider_is_checked_before_anything_starts() {
    let text = "[oidc.a]\nissuer = \"http://id.example\"\nclient_id = \"c\"\n";
    assert!(refused(text).starts_with("rigbox.toml: oidc.a.issuer must be an https address"));
    let text =
        "[oidc.a]\nissuer = \"https://id.example\"\nclient_id = \"c\"\nclient_secret = \"s\"\n";
    assert_eq!(
        refused(text),
        "rigbox.toml, line 4: unknown key client_secret, the nearest known one is client_secret_file"
    );
}

#[test]
fn a_wrong_value_is_named_with_its_place() {
    for (text, expected) in [
        ("[api]\nlisten = \"7070\"\n", "rigbox.toml, line 2: invalid socket address syntax"),
        ("[first]\nworkspace = \"He llo\"\n", "rigbox.toml: first.workspace may have only"),
        ("domain = \"Rigbox.example\"\n", "rigbox.toml: domain must be a domain name"),
        ("domain = \"a..b\"\n", "rigbox.toml: domain must be a domain name"),
        ("[api]\nurl = \"https://a.example/x\"\n", "rigbox.toml: api.url must be scheme"),
        ("[api]\nurl = \"ftp://a.example\"\n", "rigbox.toml: api.url must be scheme"),
        ("[ssh]\nport = 0\n", "rigbox.toml: ssh.port must be from 1"),
        ("[control]\nuid = 0\n", "rigbox.toml: control.uid must not be root"),
        ("[host]\nqemu = \"qemu\"\n", "rigbox.toml: host.qemu must be an absolute path"),
        ("[host]\nsweep_s = 0\n", "rigbox.toml: host.sweep_s must be from 1 to 86400"),
        ("[host]\npool_gib = 0\n", "rigbox.toml: host.pool_gib must be from 1"),
        ("[host]\nnetwork = \"10.0.0.1/8\"\n", "rigbox.toml: host.network must be a network"),
        ("[host]\nnetwork = \"all\"\n", "rigbox.toml: host.network must be a network"),
        ("region = \n", "rigbox.toml, line 1: "),
    ] {
        let said = refused(text);
        assert!(said.starts_with(expected), "{text}: {said}");
    }
}
