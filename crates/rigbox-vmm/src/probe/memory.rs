//! Remembers answers about KVM in a small file. An unreadable file is no answer, not an error.

use std::{collections::BTreeMap, io};

use camino::Utf8Path;
use serde::{Deserialize, Serialize};

use super::{Kvm, Tool};
use crate::machine;

/// What the file holds.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Answers(BTreeMap<String, Kvm>);

/// Everything that the answer depends on. The boot stands for what cannot be asked: firmware, the
/// parameters of the module, and what a hypervisor below offers.
pub(super) fn key(tool: &Tool) -> String {
    format!(
        "boot {}; kernel {}; {} {}; {}",
        machine::boot_id(),
        machine::kernel_release(),
        tool.path,
        tool.version,
        machine::cpu_model()
    )
}

/// The answer for this key, if there is one.
pub(super) async fn recall(path: &Utf8Path, key: &str) -> Option<Kvm> {
    load(path).await.0.remove(key)
}

/// Keeps the answer, and forgets those for other keys but the newest few.
pub(super) async fn remember(path: &Utf8Path, key: &str, kvm: &Kvm) -> io::Result<()> {
    let mut answers = load(path).await;
    if answers.0.len() >= ANSWERS_MAX {
        answers.0.clear();
    }
    answers.0.insert(key.to_owned(), kvm.clone());
    let text = serde_json::to_vec_pretty(&answers)?;
    let new = format!("{path}.new");
    tokio::fs::write(&new, text).await?;
    tokio::fs::rename(&new, path).await
}

async fn load(path: &Utf8Path) -> Answers {
    let text = tokio::fs::read(path).await.unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Two VMMs, and a few upgrades of kernel or VMM.
const ANSWERS_MAX: usize = 16;
