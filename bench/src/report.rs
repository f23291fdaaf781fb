//! Where results are kept: `bench/results/<what>/<date>-<machine kind>/` with the rows, what the
//! machine was, and the summary that is computed from both.

use std::fs;

use anyhow::{Context, Result};
use camino::{Utf8Path, Utf8PathBuf};

use crate::{ai, edge, endpoints, output, procfs, rows, rows::Rows, ssh, summary};

/// Relative to the top of the repository, where `cargo xtask` starts the run.
const RESULTS: &str = "bench/results";
/// Folders below it, one for each thing that is measured.
const WORKSPACE: &str = "workspace";
const API: &str = "api";
const EDGE: &str = "edge";
const SSH: &str = "ssh";
const AI: &str = "ai";
const ROWS: &str = "rows.csv";
const MACHINE: &str = "machine.txt";
const SUMMARY: &str = "summary.md";

/// What the results were measured on and with.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// What ran the workspaces, such as `qemu-tcg`.
    pub(crate) driver: String,
    all: Vec<(String, String)>,
}

impl Facts {
    /// Those of the machine.
    pub(crate) fn of_machine() -> Self {
        let mut facts = Self::default();
        for (name, value) in procfs::machine() {
            facts.add(name, value);
        }
        facts
    }

    /// One more.
    pub(crate) fn add(&mut self, name: &str, value: impl Into<String>) {
        self.all.push((name.to_owned(), value.into()));
    }

    fn text(&self) -> String {
        self.all.iter().map(|(name, value)| format!("{name}: {value}\n")).collect()
    }

    /// The kind of machine, for the name of a folder.
    fn kind(&self) -> String {
        format!("{}-{}cpu", self.driver, procfs::processors())
    }
}

/// Writes the results into `folder`, or into a new one.
///
/// # Errors
/// When they cannot be written.
pub(crate) fn write(rows: &Rows, facts: &Facts, folder: Option<&Utf8Path>) -> Result<()> {
    write_into(WORKSPACE, (rows, facts), folder)
}

/// The same of a run over the API alone.
///
/// # Errors
/// When they cannot be written.
pub(crate) fn write_api(rows: &Rows, facts: &Facts, folder: Option<&Utf8Path>) -> Result<()> {
    write_into(API, (rows, facts), folder)
}

/// The same of a run over the edge.
///
/// # Errors
/// When they cannot be written.
pub(crate) fn write_edge(rows: &Rows, facts: &Facts, folder: Option<&Utf8Path>) -> Result<()> {
    write_into(EDGE, (rows, facts), folder)
}

/// The same of a run over the SSH gateway.
///
/// # Errors
/// When they cannot be written.
pub(crate) fn write_ssh(rows: &Rows, facts: &Facts, folder: Option<&Utf8Path>) -> Result<()> {
    write_into(SSH, (rows, facts), folder)
}

/// The same of a run over AI gateways.
///
/// # Errors
/// When they cannot be written.
pub(crate) fn write_ai(rows: &Rows, facts: &Facts, folder: Option<&Utf8Path>) -> Result<()> {
    write_into(AI, (rows, facts), folder)
}

fn write_into(what: &str, (rows, facts): (&Rows, &Facts), folder: Option<&Utf8Path>) -> Result<()> {
    let folder = folder.map_or_else(|| free_folder(what, facts), Utf8Path::to_owned);
    fs::create_dir_all(&folder).with_context(|| format!("make {folder}"))?;
    rows.write(&folder.join(ROWS))?;
    put(&folder.join(MACHINE), &facts.text())?;
    summarise(&folder)
}

/// Computes the summary from what is in the folder.
///
/// # Errors
/// When it is not there or no summary can be written.
pub(crate) fn summarise(folder: &Utf8Path) -> Result<()> {
    let rows = rows::read(&folder.join(ROWS))?;
    let machine = folder.join(MACHINE);
    let facts = fs::read_to_string(&machine).with_context(|| format!("read {machine}"))?;
    let text = if endpoints::summary::is_of(&rows) {
        endpoints::summary::markdown(&rows, &facts)
    } else if ai::summary::is_of(&rows) {
        ai::summary::markdown(&rows, &facts)
    } else if ssh::summary::is_of(&rows) {
        ssh::summary::markdown(&rows, &facts)
    } else if edge::summary::is_of(&rows) {
        edge::summary::markdown(&rows, &facts)
    } else {
        summary::markdown(&rows, &facts)
    };
    let path = folder.join(SUMMARY);
    put(&path, &text)?;
    output::data(text.trim_end());
    output::note(&format!("written to {folder}"));
    Ok(())
}

/// The folder of this day and machine; with a number where a former run has that name.
fn free_folder(what: &str, facts: &Facts) -> Utf8PathBuf {
    let today: String = jiff::Timestamp::now().to_string().chars().take(10).collect();
    let name = format!("{RESULTS}/{what}/{today}-{}", facts.kind());
    let numbered = (2..).map(|number: u32| Utf8PathBuf::from(format!("{name}-{number}")));
    let mut all = std::iter::once(Utf8PathBuf::from(&name)).chain(numbered);
    all.find(|folder| !folder.exists()).unwrap_or_else(|| name.into())
}

fn put(path: &Utf8Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("write {path}"))
}
