//! The first passwords that anybody would try. A list of words, and what people make of them to get
//! past a rule: digits and signs around them, letters spelled as digits, the word twice.

/// Words that passwords are made of, without what is around them.
const WORDS: &[&str] = &[
    "abc",
    "abcd",
    "abcdef",
    "abcdefgh",
    "abcdefghijkl",
    "abcdefghijklmnopqrstuvwxyz",
    "access",
    "account",
    "admin",
    "administrator",
    "alexander",
    "amanda",
    "andrea",
    "andrew",
    "angel",
    "apple",
    "arsenal",
    "asdf",
    "asdfgh",
    "asdfghjkl",
    "asdfghjklqwertyuiop",
    "ashley",
    "autumn",
    "azerty",
    "azertyuiop",
    "babygirl",
    "bailey",
    "banana",
    "baseball",
    "basketball",
    "batman",
    "biteme",
    "blink",
    "buster",
    "butterfly",
    "changeit",
    "changeme",
    "changemenow",
    "charlie",
    "cheese",
    "chelsea",
    "chocolate",
    "computer",
    "cookie",
    "correcthorsebatterystaple",
    "daniel",
    "default",
    "demo",
    "diamond",
    "donald",
    "dragon",
    "dubsmash",
    "eminem",
    "facebook",
    "family",
    "flower",
    "football",
    "forever",
    "freedom",
    "friends",
    "fuckyou",
    "george",
    "ginger",
    "god",
    "google",
    "guest",
    "hannah",
    "harley",
    "heaven",
    "hello",
    "helloworld",
    "hockey",
    "honey",
    "hunter",
    "iloveu",
    "iloveyou",
    "internet",
    "jennifer",
    "jessica",
    "jesus",
    "jesuschrist",
    "jordan",
    "joshua",
    "justin",
    "killer",
    "letmein",
    "letmeinnow",
    "linkedin",
    "liverpool",
    "login",
    "love",
    "loveme",
    "lovely",
    "maggie",
    "manager",
    "master",
    "matrix",
    "matthew",
    "merlin",
    "michael",
    "michelle",
    "minecraft",
    "monkey",
    "mustang",
    "mypassword",
    "naruto",
    "newpassword",
    "nicole",
    "ninja",
    "nothing",
    "opensesame",
    "orange",
    "pass",
    "passphrase",
    "passw",
    "passwd",
    "password",
    "passwordpassword",
    "pepper",
    "pokemon",
    "princess",
    "public",
    "purple",
    "qazwsx",
    "qazwsxedc",
    "qwer",
    "qwerty",
    "qwertyui",
    "qwertyuiop",
    "qwertz",
    "qwertzuiop",
    "rigbox",
    "rockyou",
    "root",
    "samantha",
    "samsung",
    "secret",
    "secretpassword",
    "security",
    "server",
    "shadow",
    "soccer",
    "spring",
    "starwars",
    "summer",
    "sunshine",
    "superman",
    "superuser",
    "sysadmin",
    "system",
    "temp",
    "temporary",
    "test",
    "tester",
    "testing",
    "testtest",
    "thomas",
    "thunder",
    "tigger",
    "trustme",
    "trustno",
    "unknown",
    "user",
    "username",
    "vagrant",
    "welcome",
    "welcomehome",
    "whatever",
    "william",
    "windows",
    "winter",
    "wordpass",
    "workspace",
    "yankees",
    "zxcvbn",
    "zxcvbnm",
];

/// Rows of keys and the alphabet, whose runs are no better than a word.
const RUNS: &[&str] = &["0123456789012345678901234567890", "abcdefghijklmnopqrstuvwxyz"];

/// Whether a password is one of the first that anybody would try.
pub(super) fn is_common(password: &str) -> bool {
    let lower = password.to_lowercase();
    let stem = stem(password);
    // Nothing but digits and signs: dates, phone numbers and rows of keys, unless it is long.
    let is_bare = stem.is_empty() && lower.chars().count() < 20;
    is_bare
        || is_repeated(&lower)
        || is_run(&lower)
        || is_words(&stem)
        || is_words(&spelled(password))
}

/// The letters of a password, without what is put around them to get past a rule.
pub(super) fn stem(password: &str) -> String {
    let lower = password.to_lowercase();
    letters(lower.trim_matches(|c: char| !c.is_alphabetic()))
}

/// The same where a sign at the beginning stands for a letter, too.
fn spelled(password: &str) -> String {
    letters(password.to_lowercase().trim_end_matches(|c: char| !c.is_alphabetic()))
}

/// Letters, and signs that stand for one.
fn letters(text: &str) -> String {
    let letter = |c: char| match c {
        '@' | '4' => Some('a'),
        '0' => Some('o'),
        '1' | '!' => Some('i'),
        '3' => Some('e'),
        '5' | '$' => Some('s'),
        '7' => Some('t'),
        c if c.is_alphabetic() => Some(c),
        _ => None,
    };
    text.chars().filter_map(letter).collect()
}

/// A few characters again and again.
fn is_repeated(text: &str) -> bool {
    let chars: Vec<char> = text.chars().collect();
    (1..=4).any(|period| {
        chars.len() > period && chars.iter().zip(chars.iter().skip(period)).all(|(a, b)| a == b)
    })
}

/// Up or down a row.
fn is_run(text: &str) -> bool {
    let back: String = text.chars().rev().collect();
    RUNS.iter().any(|run| run.contains(text) || run.contains(&back))
}

/// At most two words of the list, or one of them several times.
fn is_words(stem: &str) -> bool {
    let is_word = |text: &str| WORDS.contains(&text);
    let twice = WORDS.iter().any(|first| {
        stem.strip_prefix(first)
            .is_some_and(|rest| is_word(rest) || rest.replace(first, "").is_empty())
    });
    is_word(stem) || twice
}
