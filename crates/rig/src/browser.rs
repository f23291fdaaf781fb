//! Opens a web page in a browser, where there is one.
//! Invariant: only a web page is ever opened, whatever a server says.
//! Does not wait for the browser, and does not know whether the page came up.

use std::{
    env,
    process::{Command, Stdio},
};

/// Opens a page where there is a screen to show it on. Says whether somebody tries.
pub(crate) fn open(url: &str) -> bool {
    is_page(url) && openers().iter().any(|program| start(program, url))
}

/// Whether an address of the server's is a web page and nothing else that a desktop would open.
fn is_page(url: &str) -> bool {
    let is_web = url.starts_with("https://") || url.starts_with("http://");
    is_web && url.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Programs that open a page here, the best first.
fn openers() -> &'static [&'static str] {
    let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    if is_set("SSH_CONNECTION") {
        // The screen is somewhere else.
        return &[];
    }
    if cfg!(target_os = "macos") {
        return &["open"];
    }
    if is_set("WSL_DISTRO_NAME") || is_set("WSL_INTEROP") {
        // The browser is that of Windows. An address is one word to its Explorer, which needs no
        // shell around it.
        return &["wslview", "explorer.exe"];
    }
    if is_set("DISPLAY") || is_set("WAYLAND_DISPLAY") { &["xdg-open"] } else { &[] }
}

fn start(program: &str, url: &str) -> bool {
    let mut command = Command::new(program);
    let command = command.arg(url).stdin(Stdio::null()).stdout(Stdio::null());
    // It goes on by itself, and ends by itself.
    command.stderr(Stdio::null()).spawn().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_web_pages_are_opened() {
        assert!(is_page("https://rigbox.example/device?code=BCDF-GHJK"));
        for url in ["file:///etc/passwd", "--help", "javascript:1", "https://a b", "http://a\n"] {
            assert!(!is_page(url), "{url}");
        }
    }
}
