use tokio_util::sync::CancellationToken;

use super::*;

fn menu(names: &[(&str, &str)]) -> Menu {
    let entries = names.iter().map(|(name, status)| MenuEntry {
        user: format!("{name}.me"),
        name: (*name).to_owned(),
        status: (*status).to_owned(),
    });
    let (entries, ends) = (entries.collect(), CancellationToken::new());
    Menu { entries, note: None, ends, held: Box::new(()) }
}

#[test]
fn the_list_has_columns_and_numbers_where_somebody_chooses() {
    let menu = menu(&[("a", "running"), ("long-name", "off")]);
    let text = Screen { menu: &menu, has_terminal: true }.list(true);
    let expected = "   1  a          running  a.me\r\n   2  long-name  off      long-name.me\r\n\r\n\
                    number or name, q to leave: ";
    assert_eq!(text, expected);
    let text = Screen { menu: &menu, has_terminal: false }.list(false);
    assert_eq!(text, "a          running  a.me\nlong-name  off      long-name.me\n");
}

#[test]
fn a_name_moves_no_cursor_and_a_long_list_ends() {
    let mut menu = menu(&[("a\x1b[2J", "x\r\n")]);
    menu.note = Some("one\ntwo\x07".to_owned());
    let text = Screen { menu: &menu, has_terminal: false }.list(false);
    assert_eq!(text, "a[2J  x  a[2J.me\none\ntwo\n");
    let entry = menu.entries.pop().unwrap();
    menu.entries = std::iter::repeat_with(|| entry.clone()).take(SHOWN_MAX + 7).collect();
    assert!(Screen { menu: &menu, has_terminal: false }.list(false).contains("and 7 more"));
}

#[test]
fn a_line_is_a_number_a_name_or_the_wish_to_leave() {
    let menu = menu(&[("a", "running"), ("2", "off"), ("q", "off")]);
    let screen = Screen { menu: &menu, has_terminal: true };
    let chosen = |line| screen.chosen(line).map(|entry| entry.map(|entry| entry.name.as_str()));
    assert_eq!(chosen("1"), Ok(Some("a")));
    assert_eq!(chosen(" a.me "), Ok(Some("a")));
    assert_eq!(chosen("2"), Ok(Some("2")));
    assert_eq!(chosen("q"), Ok(Some("q")), "a workspace of that name");
    for wrong in ["", "0", "4", "-1", "b", "99999999999999999999999"] {
        assert!(chosen(wrong).is_err(), "{wrong}");
    }
    let menu = self::menu(&[]);
    assert_eq!(Screen { menu: &menu, has_terminal: true }.chosen("q"), Ok(None));
}

#[test]
fn keys_edit_the_line() {
    let done = |keys: &[u8]| {
        let mut line = Line::default();
        keys.iter().map(|key| line.key(*key)).last().unwrap()
    };
    assert_eq!(done(b"ab\x7fc\r"), Key::Done("ac".to_owned()));
    assert_eq!(done(b"\x7f\x7fa\x15b\n"), Key::Done("b".to_owned()));
    assert_eq!(done(b"a\x1b[A\x1b[1;5C\x1bOHb\r"), Key::Done("ab".to_owned()));
    assert_eq!(done("\u{e4}\t\0a\r".as_bytes()), Key::Done("a".to_owned()));
    assert_eq!(done(b"ab\x03"), Key::Leave);
    assert_eq!(done(b"\x04"), Key::Leave);
    assert_eq!(done(b"~"), Key::Echo("~"));
    let long = [&[b'x'; 1_000][..], b"\r"].concat();
    assert_eq!(done(&long), Key::Done("x".repeat(LINE_MAX)));
}
