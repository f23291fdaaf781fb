//! Everything that reads what a stranger sends is given what nobody would send: it refuses or reads it,
//! and never panics.

use proptest::prelude::*;

use crate::{
    auth,
    key::PublicKey,
    menu, msg, relay, transport,
    wire::{Put as _, Reader},
};

/// Fields as messages are made of, some of which lie about their length.
fn fields() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![
        Just(b"ssh-ed25519".to_vec()),
        Just(b"ecdsa-sha2-nistp256".to_vec()),
        Just(b"nistp256".to_vec()),
        Just(b"ssh-rsa".to_vec()),
        Just(b"rsa-sha2-256".to_vec()),
        Just(b"sk-ssh-ed25519@openssh.com".to_vec()),
        Just(b"sk-ecdsa-sha2-nistp256@openssh.com".to_vec()),
        Just(b"ssh-connection".to_vec()),
        Just(b"publickey".to_vec()),
        Just(b"session".to_vec()),
        Just(b"direct-tcpip".to_vec()),
        Just(b"tcpip-forward".to_vec()),
        prop::collection::vec(any::<u8>(), 0..70),
    ];
    let string = name.prop_map(|name| {
        let mut out = Vec::new();
        out.put_string(&name);
        out
    });
    let field = prop_oneof![
        6 => string,
        1 => prop::collection::vec(any::<u8>(), 0..6),
        1 => any::<u32>().prop_map(|number| number.to_be_bytes().to_vec()),
        1 => Just(vec![1]),
    ];
    prop::collection::vec(field, 0..9).prop_map(|fields| fields.concat())
}

fn kinds() -> impl Strategy<Value = u8> {
    prop_oneof![
        Just(msg::USERAUTH_REQUEST),
        Just(msg::KEXINIT),
        Just(msg::GLOBAL_REQUEST),
        Just(msg::CHANNEL_OPEN),
        any::<u8>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2_000, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn messages_are_read_without_harm(kind in kinds(), fields in fields()) {
        let message = [&[kind][..], &fields].concat();
        auth::read_without_harm(&message);
        relay::read_without_harm(&message);
        menu::read_without_harm(&message);
        transport::read_without_harm(&message);
    }

    #[test]
    fn keys_and_signatures_are_read_without_harm(
        blob in fields(),
        signature in fields(),
        algorithm in prop::sample::select(crate::key::SIGNATURES.split(',').collect::<Vec<_>>()),
    ) {
        if let Ok(key) = PublicKey::new(&blob) {
            prop_assert!(key.verify(algorithm, b"signed", &signature).is_err());
        }
        let mut blob = Vec::new();
        blob.put_string(algorithm.as_bytes());
        blob.extend_from_slice(&signature);
        if let Ok(key) = PublicKey::new(&blob) {
            prop_assert!(key.verify(algorithm, b"signed", &signature).is_err());
        }
    }

    #[test]
    fn what_is_put_is_read(
        numbers in prop::collection::vec(any::<u32>(), 0..4),
        strings in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..4),
    ) {
        let mut out = Vec::new();
        numbers.iter().for_each(|number| out.put_u32(*number));
        strings.iter().for_each(|string| out.put_string(string));
        let mut reader = Reader::new(&out);
        for number in numbers {
            prop_assert_eq!(reader.u32().unwrap(), number);
        }
        for string in strings {
            prop_assert_eq!(reader.string().unwrap(), &string[..]);
        }
        prop_assert!(reader.end().is_ok() && reader.u8().is_err());
    }
}
