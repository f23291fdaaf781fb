//! What all pages have around them, and the parts that forms are made of.

use maud::{DOCTYPE, Markup, html};

use super::STYLE_PATH;

/// A whole document. `out` is the token of the form to sign out with.
pub(super) fn document(title: &str, out: Option<&str>, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex";
                title { (title) " – Rigbox" }
                link rel="stylesheet" href=(STYLE_PATH);
            }
            body {
                header {
                    span { "Rigbox" }
                    @if let Some(token) = out {
                        nav aria-label="Account" { a href="/security" { "Security" } }
                        form method="post" action="/sign-out" {
                            (hidden("form_token", token))
                            button.quiet type="submit" { "Sign out" }
                        }
                    }
                }
                main { (body) }
                footer { "Your own workspaces, on your own machines." }
            }
        }
    }
}

/// One field of a form.
#[derive(Debug, Default)]
pub(super) struct Field<'a> {
    pub(super) name: &'a str,
    pub(super) label: &'a str,
    /// `text` where it is empty.
    pub(super) kind: &'a str,
    pub(super) value: &'a str,
    /// What browsers and password managers may fill in.
    pub(super) autocomplete: &'a str,
    pub(super) hint: Option<&'a str>,
    pub(super) error: Option<&'a str>,
    /// Whether typing begins here.
    pub(super) first: bool,
}

impl Field<'_> {
    /// The field with its label, hint and error, which are tied to it for who cannot see them.
    pub(super) fn render(&self) -> Markup {
        let (hint, error) = (format!("{}-hint", self.name), format!("{}-error", self.name));
        let mut described = Vec::new();
        described.extend(self.error.map(|_| error.as_str()));
        described.extend(self.hint.map(|_| hint.as_str()));
        let described = (!described.is_empty()).then(|| described.join(" "));
        html! {
            label for=(self.name) { (self.label) }
            input
                id=(self.name)
                name=(self.name)
                type=(if self.kind.is_empty() { "text" } else { self.kind })
                value=[(!self.value.is_empty()).then_some(self.value)]
                autocomplete=(self.autocomplete)
                autocapitalize="none"
                spellcheck="false"
                required
                autofocus[self.first]
                aria-invalid=[self.error.map(|_| "true")]
                aria-describedby=[described];
            @if let Some(text) = self.error { p.error id=(error) { (text) } }
            @if let Some(text) = self.hint { p.hint id=(hint) { (text) } }
        }
    }
}

/// A field that is not seen.
pub(super) fn hidden(name: &str, value: &str) -> Markup {
    html! { input type="hidden" name=(name) value=(value); }
}

/// What went wrong, read out at once.
pub(super) fn alert(text: Option<&str>) -> Markup {
    html! { @if let Some(text) = text { p.alert role="alert" { (text) } } }
}
