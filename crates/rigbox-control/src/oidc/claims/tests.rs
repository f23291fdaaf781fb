use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::*;

const NOW: i64 = 1_800_000_000;

fn read(claims: &Value) -> Result<Person, InvalidClaims> {
    let expected = Expected {
        issuer: "https://id.example",
        client_id: "rigbox",
        nonce: "n-1",
        access_token: "access",
        algorithm: Algorithm::Es256,
        now: Timestamp::from_micros(NOW * 1_000_000),
    };
    id_token(claims.to_string().as_bytes(), &expected)
}

/// Good claims with some set to others; null takes one out.
fn with(changes: Value) -> Value {
    let mut claims = json!({
        "iss": "https://id.example", "sub": "ann-1", "aud": "rigbox", "exp": NOW + 300,
        "iat": NOW, "nonce": "n-1", "email": "Ann@Example.com", "email_verified": true,
        "name": "Ann",
    });
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(name),
            value => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    claims
}

#[track_caller]
fn check(changes: Value, expected: Result<(), InvalidClaims>) {
    assert_eq!(read(&with(changes.clone())).map(drop), expected, "{changes}");
}

#[test]
fn a_token_for_this_sign_in_says_who_it_is() {
    let person = read(&with(json!({}))).unwrap();
    assert_eq!(person.subject, "ann-1");
    assert_eq!(person.email, Some("ann@example.com".parse().unwrap()));
    assert_eq!(person.name.as_deref(), Some("Ann"));
    check(json!({ "aud": ["rigbox"], "azp": "rigbox", "exp": 1_800_000_300.5 }), Ok(()));
}

#[test]
fn a_token_for_something_else_says_nothing() {
    use InvalidClaims as E;
    check(json!({ "iss": "https://id.example/" }), Err(E::Issuer));
    check(json!({ "iss": "https://evil.example" }), Err(E::Issuer));
    check(json!({ "aud": "other" }), Err(E::Audience));
    check(json!({ "aud": ["rigbox", "other"] }), Err(E::Audience));
    check(json!({ "aud": [] }), Err(E::Audience));
    check(json!({ "azp": "other" }), Err(E::Audience));
    check(json!({ "nonce": "n-2" }), Err(E::Nonce));
    check(json!({ "nonce": null }), Err(E::Nonce));
    check(json!({ "sub": "" }), Err(E::Subject));
    check(json!({ "sub": "a".repeat(256) }), Err(E::Subject));
    check(json!({ "sub": "ann\u{0}" }), Err(E::Subject));
    for missing in ["iss", "sub", "aud", "exp", "iat"] {
        check(json!({ missing: null }), Err(E::Form));
    }
    assert_eq!(id_claims_twice(), Err(E::Form));
}

/// The same claim twice: which one counts must not be left to chance.
fn id_claims_twice() -> Result<(), InvalidClaims> {
    let text = with(json!({})).to_string().replacen('{', r#"{"sub":"bob","#, 1);
    let expected = Expected {
        issuer: "https://id.example",
        client_id: "rigbox",
        nonce: "n-1",
        access_token: "access",
        algorithm: Algorithm::Es256,
        now: Timestamp::from_micros(NOW * 1_000_000),
    };
    id_token(text.as_bytes(), &expected).map(drop)
}

#[test]
fn a_token_is_of_now_give_or_take_a_minute() {
    let late = Err(InvalidClaims::Time);
    check(json!({ "exp": NOW - 59 }), Ok(()));
    check(json!({ "exp": NOW - 60 }), late);
    check(json!({ "iat": NOW + 60 }), Ok(()));
    check(json!({ "iat": NOW + 61 }), late);
    check(json!({ "iat": NOW - 660 }), Ok(()));
    check(json!({ "iat": NOW - 661 }), late);
    check(json!({ "nbf": NOW + 61 }), late);
    check(json!({ "exp": 1e300 }), late);
    check(json!({ "exp": i64::MAX, "iat": i64::MIN }), late);
}

#[test]
fn a_token_belongs_to_the_access_token_beside_it() {
    let hash = digest::digest(&digest::SHA256, b"access");
    let half = URL_SAFE_NO_PAD.encode(&hash.as_ref()[..16]);
    check(json!({ "at_hash": half }), Ok(()));
    let whole = URL_SAFE_NO_PAD.encode(hash.as_ref());
    check(json!({ "at_hash": whole }), Err(InvalidClaims::AccessToken));
    check(json!({ "at_hash": "" }), Err(InvalidClaims::AccessToken));
}

#[test]
fn only_a_verified_address_counts() {
    let email = |changes| read(&with(changes)).unwrap().email.map(|email| email.to_string());
    let ann = Some("ann@example.com".to_owned());
    assert_eq!(email(json!({ "email_verified": "true" })), ann);
    for not in [json!(false), json!("false"), json!("yes"), json!("True")] {
        assert_eq!(email(json!({ "email_verified": not })), None);
    }
    assert_eq!(email(json!({ "email_verified": null })), None);
    assert_eq!(email(json!({ "email": "ann@example.com\n" })), None);
    assert_eq!(email(json!({ "email": "änn@example.com" })), None);
}

#[test]
fn the_userinfo_of_somebody_else_is_refused() {
    let info = json!({ "sub": "ann-1", "email": "ann@example.com", "email_verified": true });
    assert!(user_info(info.clone(), "ann-1").unwrap().email.is_some());
    assert_eq!(user_info(info, "bob"), Err(InvalidClaims::Subject));
    assert_eq!(user_info(json!({}), "bob"), Err(InvalidClaims::Form));
}
