//! Makes a platform of a backup, in an empty data directory.
//! Invariants: the whole backup is read and found good before anything is made, and checked again while
//! it is put in place; what fails leaves the directory as it was; the database goes in last, so that a
//! PostgreSQL is only touched when everything else is there.
//! Starts nothing: `rigbox up` does.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek as _, Write as _},
    os::unix::fs::chown,
    process::ExitCode,
};

use anyhow::{Context, bail, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use rigbox_control::{
    AuditError,
    backup::{self as control_backup, Deed},
};
use serde_json::json;

use super::{
    check::{self, Good},
    disks::Puts,
    document::{
        CONFIG, CONTROL, DATABASE, DISKS, DiskThen, HOST, HOST_ID, IMAGES, KERNELS, Manifest,
        disk_of,
    },
    place::Place,
    sparse,
    target::{Target, Whose},
    unpack::{self, Entry},
    words,
};
use crate::{
    config, control,
    data::{self, Platform},
    files,
    layout::{Install, Layout},
    output,
    up::{Up, require_root, write_backup_config},
};

/// What was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) from: Place,
    pub(crate) data: Utf8PathBuf,
    /// A configuration other than the backup's.
    pub(crate) config: Option<Utf8PathBuf>,
    /// Only look whether the backup is good.
    pub(crate) check: bool,
    pub(crate) json: bool,
}

/// Restores one, or looks at it.
///
/// # Errors
/// Says what is wrong with the backup, or could not be made.
pub(crate) fn run(wish: &Wish) -> anyhow::Result<ExitCode> {
    if wish.check {
        return check::run(&wish.from, wish.json);
    }
    require_root("restore")?;
    let layout = Layout::new(&wish.data)?;
    let install = Install::find()?;
    let good = Good::read(&wish.from)?;
    let target = Target::take(&layout, &wish.from.shown())?;
    check_room(&layout, &good.manifest)?;
    let config_text = chosen_config(wish, &good)?;
    let mut file = target.file("rigbox.toml", Whose::Everybody)?;
    file.write_all(config_text.as_bytes()).context("write the configuration")?;
    let (config, _) = config::load(Some(&layout.config()), &[])
        .context("the configuration in the backup\nhint: choose another one with --config")?;
    let mut file = target.file("host-id", Whose::Everybody)?;
    file.write_all(good.manifest.platform.host.as_str().as_bytes())?;
    if good.small(HOST_ID) != Some(good.manifest.platform.host.as_str()) {
        bail!("the manifest and the part {HOST_ID} differ");
    }
    let platform = data::prepare(&layout, &config)?;
    let up = Up { layout: &layout, install: &install, config: &config };
    let restoring = Restoring { up: &up, target: &target, platform, manifest: &good.manifest };
    restoring.put_parts(&wish.from)?;
    restoring.load_database(&wish.from)?;
    target.finish()?;
    tell(wish, &layout, &good.manifest);
    Ok(ExitCode::SUCCESS)
}

/// The text of the configuration that the platform gets.
fn chosen_config(wish: &Wish, good: &Good) -> anyhow::Result<String> {
    match &wish.config {
        Some(path) => files::read(path)?.with_context(|| format!("{path} is not there")),
        None => Ok(good.small(CONFIG).context("the backup has no configuration")?.to_owned()),
    }
}

/// Refuses what does not fit before it is begun.
fn check_room(layout: &Layout, manifest: &Manifest) -> anyhow::Result<()> {
    let stat = rustix::fs::statvfs(layout.data().as_std_path()).map_err(io::Error::from);
    let stat = stat.with_context(|| format!("measure {}", layout.data()))?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    // The database is there twice for a moment: as it came and as it is loaded.
    let database = manifest.parts.iter().find(|part| part.name == DATABASE);
    let needed = manifest
        .stored_bytes()
        .saturating_add(database.map_or(0, |part| part.stored_bytes).saturating_mul(2));
    ensure!(
        needed <= free,
        "the backup needs {} and {} has {} free\nhint: choose another directory with --data",
        words::size(needed),
        layout.data(),
        words::size(free),
    );
    Ok(())
}

struct Restoring<'r> {
    up: &'r Up<'r>,
    target: &'r Target<'r>,
    platform: Platform,
    manifest: &'r Manifest,
}

/// Where the database waits until everything else is there.
const DATABASE_FILE: &str = "run/database.ndjson";

impl Restoring<'_> {
    /// Everything but the database itself.
    fn put_parts(&self, from: &Place) -> anyhow::Result<()> {
        let mut progress = output::Progress::default();
        let mut puts = None;
        if self.manifest.workspaces.iter().any(|workspace| self.has_note(workspace.disk)) {
            let config = write_backup_config(self.up, &self.platform)?;
            progress.show("making the storage of disks");
            puts = Some(Puts::begin(self.up, &config)?);
        }
        let again = unpack::read(from.open()?, &mut |entry, body| {
            progress.show(&format!("restoring {}", entry.name));
            self.put(entry, body, puts.as_mut())
        })?;
        ensure!(again == *self.manifest, "the backup changed while it was read");
        if let Some(mut puts) = puts {
            for workspace in &self.manifest.workspaces {
                if workspace.disk == DiskThen::Lost {
                    puts.lost(&workspace.id)?;
                }
            }
            puts.finish()?;
        }
        progress.end();
        Ok(())
    }

    fn has_note(&self, disk: DiskThen) -> bool {
        disk.is_kept() || disk == DiskThen::Lost
    }

    fn put(
        &self,
        entry: &Entry,
        body: &mut dyn Read,
        puts: Option<&mut Puts>,
    ) -> anyhow::Result<()> {
        // What the first reading has seen bounds what this one writes.
        let known = self.manifest.parts.iter().find(|part| part.name == entry.name);
        ensure!(
            known.is_some_and(|part| part.bytes == entry.bytes),
            "the backup changed while it was read"
        );
        let name = entry.name.as_str();
        if name.starts_with(CONTROL) {
            let whose = Whose::Control(self.platform.control_uid);
            let file = self.target.file(name, whose)?;
            return fill(&file, entry, body);
        }
        if name == DATABASE {
            return fill(&self.target.file(DATABASE_FILE, Whose::Root)?, entry, body);
        }
        if name.starts_with(HOST) {
            return fill(&self.target.file(name, Whose::Root)?, entry, body);
        }
        if name.starts_with(IMAGES) || name.starts_with(KERNELS) {
            return fill(&self.target.file(name, Whose::Everybody)?, entry, body);
        }
        if name.starts_with(DISKS) {
            let (puts, workspace) = puts.zip(disk_of(name)).context("a disk of no workspace")?;
            let path = puts.path(&workspace);
            let file = File::create_new(&path).with_context(|| format!("make {path}"))?;
            fill(&file, entry, body).with_context(|| format!("write {path}"))?;
            drop(file);
            return puts.brought(&workspace);
        }
        // The configuration and the id of the machine are there already.
        Ok(())
    }

    fn load_database(&self, from: &Place) -> anyhow::Result<()> {
        let layout = self.up.layout;
        output::note("loading the database");
        let path = layout.data().join(DATABASE_FILE);
        let mut file = File::open(&path).with_context(|| format!("open {path}"))?;
        file.rewind()?;
        let embedded = layout.control().join("rigbox.db");
        let store =
            control::store_url(&embedded, self.up.config.control.database_url_file.as_deref())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut input = BufReader::with_capacity(256 * 1024, file);
            control_backup::import(&store, &mut input).await.context("load the database")?;
            let deed = (Deed::Restore, from.shown());
            match control_backup::audit(&store, &layout.control(), (deed.0, &deed.1)).await {
                Ok(()) | Err(AuditError::NoKey(_)) => Ok(()),
                Err(error) => Err(error).context("note the restore in the audit record"),
            }
        })?;
        files::remove(&path)?;
        self.give_to_control(&layout.control())
    }

    /// The embedded database was made by root.
    fn give_to_control(&self, folder: &Utf8Path) -> anyhow::Result<()> {
        for entry in folder.read_dir_utf8().with_context(|| format!("read {folder}"))? {
            let path = entry.with_context(|| format!("read {folder}"))?.path().to_owned();
            let uid = self.platform.control_uid;
            chown(&path, Some(uid), Some(uid)).with_context(|| format!("give {path} away"))?;
        }
        Ok(())
    }
}

/// Writes a part to its file, and waits for the disk.
fn fill(file: &File, entry: &Entry, body: &mut dyn Read) -> anyhow::Result<()> {
    match &entry.pieces {
        Some(pieces) => {
            file.set_len(entry.bytes)?;
            for piece in pieces {
                sparse::put_piece(file, *piece, body)?;
            }
        }
        None => {
            io::copy(body, &mut &*file)?;
        }
    }
    file.sync_all().context("write to the disk")
}

fn tell(wish: &Wish, layout: &Layout, manifest: &Manifest) {
    let lost: Vec<_> = manifest
        .workspaces
        .iter()
        .filter(|workspace| workspace.disk == DiskThen::Lost)
        .map(|workspace| workspace.id.to_string())
        .collect();
    if !lost.is_empty() {
        output::note(&format!(
            "the backup has no disk of {}: they will not start, and can only be deleted",
            lost.join(", ")
        ));
    }
    output::note(&format!(
        "this platform has the identity of the one that was backed up (host {}): never let both run \
         for the same users",
        manifest.platform.host
    ));
    if wish.json {
        let document = json!({
            "event": "restored",
            "data": layout.data(),
            "place": wish.from.shown(),
            "consistent_at": manifest.consistent_at,
            "disks": manifest.disks(),
            "lost": lost,
            "workspaces": manifest.workspaces.len(),
        });
        return output::data(&document.to_string());
    }
    output::data(&format!(
        "restored into {}: {} workspaces, {} disks, as of {}",
        layout.data(),
        manifest.workspaces.len(),
        manifest.disks(),
        manifest.consistent_at
    ));
    output::note(&format!("start it: {}", layout.command("up")));
}
