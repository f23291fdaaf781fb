//! Where the vendors' SDKs are, for tests that use them.

use std::path::PathBuf;

/// The folder that `scripts/setup --dev` puts them into: `venv` for Python, `node` and `node_modules`.
#[must_use]
pub fn tools() -> PathBuf {
    let from = |name| std::env::var_os(name).map(PathBuf::from);
    let cache = || {
        let home = from("XDG_CACHE_HOME").or_else(|| Some(from("HOME")?.join(".cache")));
        home.unwrap_or_default().join("rigbox/tools")
    };
    from("RIGBOX_TOOLS").unwrap_or_else(cache).join("provider-sdks")
}
