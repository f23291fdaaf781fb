use ring::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};

use super::*;

fn encoded(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

fn token(header: &str, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{}.{}", encoded(header), encoded(r#"{"sub":"ann"}"#));
    let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

fn p256() -> (EcdsaKeyPair, PublicKey) {
    let (random, how) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(how, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(how, pkcs8.as_ref(), &random).unwrap();
    let public = PublicKey::P256(pair.public_key().as_ref().to_vec());
    (pair, public)
}

fn ed25519() -> (Ed25519KeyPair, PublicKey) {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
    let public = PublicKey::Ed25519(pair.public_key().as_ref().to_vec());
    (pair, public)
}

fn es256(pair: &EcdsaKeyPair, header: &str) -> String {
    let random = SystemRandom::new();
    token(header, |message| pair.sign(&random, message).unwrap().as_ref().to_vec())
}

fn verify(token: &str, keys: &[&PublicKey]) -> Result<Vec<u8>, InvalidJws> {
    Unverified::read(token, &ALGORITHMS)?.verify(keys.iter().copied())
}

#[test]
fn what_a_key_has_signed_is_read() {
    let ((pair, key), (other_pair, other)) = (p256(), ed25519());
    let signed = es256(&pair, r#"{"alg":"ES256"}"#);
    assert_eq!(verify(&signed, &[&other, &key]).unwrap(), br#"{"sub":"ann"}"#);
    let sign = |message: &[u8]| other_pair.sign(message).as_ref().to_vec();
    for alg in ["EdDSA", "Ed25519"] {
        let signed = token(&format!(r#"{{"alg":"{alg}","kid":"1"}}"#), sign);
        assert!(verify(&signed, &[&key, &other]).is_ok());
        assert_eq!(verify(&signed, &[&key]), Err(InvalidJws::Key));
    }
}

#[test]
fn a_token_does_not_choose_how_it_is_checked() {
    let (pair, key) = p256();
    let PublicKey::P256(point) = &key else { panic!("{key:?}") };
    // The public key taken for a shared secret.
    let hs256 = |message: &[u8]| {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, point), message).as_ref().to_vec()
    };
    for (signed, expected) in [
        (token(r#"{"alg":"none"}"#, |_| Vec::new()), InvalidJws::Algorithm),
        (token(r#"{"alg":"None"}"#, |_| Vec::new()), InvalidJws::Algorithm),
        (token(r#"{"alg":"HS256"}"#, hs256), InvalidJws::Algorithm),
        (es256(&pair, r#"{"alg":"es256"}"#), InvalidJws::Algorithm),
        (es256(&pair, r#"{"alg":"ES384"}"#), InvalidJws::Algorithm),
        (token(r#"{"alg":"ES256"}"#, hs256), InvalidJws::Signature),
        (token(r#"{"alg":"ES256"}"#, |_| Vec::new()), InvalidJws::Signature),
        (token(r#"{"alg":"ES256"}"#, |_| vec![0; 64]), InvalidJws::Signature),
        // Signed by this key, but said to be of another kind.
        (es256(&pair, r#"{"alg":"RS256"}"#), InvalidJws::Key),
        (es256(&pair, r#"{"alg":"EdDSA"}"#), InvalidJws::Key),
        (es256(&pair, r#"{"alg":"ES256","crit":["exp"]}"#), InvalidJws::Critical),
        (es256(&pair, r#"{"alg":"ES256","alg":"ES256"}"#), InvalidJws::Form),
        (es256(&p256().0, r#"{"alg":"ES256"}"#), InvalidJws::Signature),
    ] {
        assert_eq!(verify(&signed, &[&key]), Err(expected), "{signed}");
    }
    // What the provider does not sign with counts as little as what nobody does.
    let signed = es256(&pair, r#"{"alg":"ES256"}"#);
    let read = Unverified::read(&signed, &[Algorithm::Rs256]);
    assert_eq!(read.err(), Some(InvalidJws::Algorithm));
}

#[test]
fn a_changed_token_is_refused() {
    let (pair, key) = p256();
    let signed = es256(&pair, r#"{"alg":"ES256"}"#);
    let (message, signature) = signed.rsplit_once('.').unwrap();
    let (header, _) = message.split_once('.').unwrap();
    let other = encoded(r#"{"sub":"bob"}"#);
    let moved = format!("{header}.{other}.{signature}");
    assert_eq!(verify(&moved, &[&key]), Err(InvalidJws::Signature));
    for text in [
        String::new(),
        "..".to_owned(),
        format!("{signed}="),
        format!("{signed}.x"),
        format!(" {signed}"),
        message.to_owned(),
        "a".repeat(TOKEN_MAX_LEN + 1),
        format!("{}.{other}.{signature}", encoded("[]")),
        format!("{}.{other}.{signature}", encoded(r#"{"alg":null}"#)),
    ] {
        assert_eq!(verify(&text, &[&key]), Err(InvalidJws::Form), "{text}");
    }
}
