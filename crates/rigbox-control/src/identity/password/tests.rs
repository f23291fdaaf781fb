use super::*;

fn refused(password: &str) -> Option<String> {
    let known = ["ann.miller@example.com", "Ann Miller"];
    check("password", password, &known).err().map(|invalid| invalid.rule)
}

#[test]
fn length_is_all_that_a_good_password_needs() {
    for good in [
        "quiet river stone",
        "zp4-t7w-kq2-m9x",
        "müßiggang ist aller",
        "密码密码需要很长很长才行啊",
        &"long enough ".repeat(21),
    ] {
        assert_eq!(refused(good), None, "{good}");
    }
    assert!(refused("short words").unwrap().contains("at least 12"));
    assert!(refused(&"ab ".repeat(90)).unwrap().contains("at most 256"));
    assert!(refused("a tab\tin between").unwrap().contains("control"));
}

#[test]
fn what_everybody_would_try_is_refused() {
    for bad in [
        "password1234",
        "P@ssw0rd!!!!",
        "passwordpassword",
        "123456789012",
        "aaaaaaaaaaaa",
        "abcabcabcabc",
        "abcdefghijkl",
        "qwertyuiop123",
        "Welcome2026!!",
        "letmeinletmein",
        "1234-5678-9012",
        "administrator1",
        "4dmin!str4tor#1",
        "iloveyouiloveyou",
        "correcthorsebatterystaple",
    ] {
        assert!(refused(bad).is_some_and(|rule| rule.contains("anybody")), "{bad}");
    }
    for bad in ["ann.miller@example.com", "ann.miller2026", "Ann Miller 12"] {
        assert!(refused(bad).is_some_and(|rule| rule.contains("address or name")), "{bad}");
    }
}

#[tokio::test]
async fn a_password_is_known_by_its_hash_and_a_weak_hash_is_made_better() {
    let passwords = Passwords::new().unwrap();
    let text = || SecretString::from("quiet river stone");
    let phc = passwords.hash(text()).await.unwrap();
    assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
    assert_ne!(phc, passwords.hash(text()).await.unwrap(), "each has a salt of its own");
    assert_eq!(passwords.verify(text(), Some(&phc)).await.unwrap(), Verdict::Right(None));
    let other = SecretString::from("quiet river stone ");
    assert_eq!(passwords.verify(other, Some(&phc)).await.unwrap(), Verdict::Wrong);
    assert_eq!(passwords.verify(text(), None).await.unwrap(), Verdict::Wrong);

    let params = Params::new(64, 1, 1, None).unwrap();
    let weak = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let weak = weak.hash_password_with_salt(b"quiet river stone", &[7; 16]).unwrap().to_string();
    let Verdict::Right(Some(better)) = passwords.verify(text(), Some(&weak)).await.unwrap() else {
        panic!("not made better");
    };
    assert!(better.contains("m=19456"), "{better}");
}
