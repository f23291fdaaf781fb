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
        ("region = \n", "rigbox.toml, line 1: "),
    ] {
        let said = refused(text);
        assert!(said.starts_with(expected), "{text}: {said}");
    }
}
