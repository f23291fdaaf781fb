use ::http::{HeaderValue, header};

use super::{presented::bearer, *};

fn headers(value: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
    headers
}

#[test]
fn a_key_is_read_back_as_it_was_made() {
    let key = ApiKey::new().unwrap();
    let text = key.text().expose_secret().to_owned();
    let Presented::Key(read) = bearer(&headers(&format!("Bearer {text}"))).unwrap() else {
        panic!("no key");
    };
    assert_eq!(read.prefix(), key.prefix());
    assert_eq!(text.len(), 75);
    assert!(bearer(&headers(&format!("bearer {text}"))).is_ok());
}

#[test]
fn what_is_no_key_is_refused() {
    let long = format!("Bearer rb_{}", "a".repeat(10_000));
    let other = format!("Basic rb_{}", "a".repeat(72));
    for value in ["Bearer", "Bearer ", "Bearer rb_", "Bearer rbs_", "rb_x", &long, &other] {
        let Err(error) = bearer(&headers(value)) else { panic!("{value} was taken") };
        assert_eq!(error.code(), ErrorCode::Unauthenticated);
        assert!(!error.message().contains("aaaa"));
    }
    assert!(bearer(&HeaderMap::new()).is_err());
}

#[test]
fn a_session_is_read_back_as_it_was_made() {
    let id = rigbox_types::SessionId::from_random([7; 16]);
    let token = SessionToken::new(id).unwrap();
    let read = bearer(&headers(&format!("Bearer {}", token.expose()))).unwrap();
    let Presented::Session(read, Carrier::Bearer) = read else { panic!("no session") };
    assert_eq!((read.id(), read.expose()), (id, token.expose()));
    assert_eq!(token.expose().len(), 100);
}
