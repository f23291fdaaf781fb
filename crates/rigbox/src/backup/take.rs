//! Takes a backup: first the database, then the disks, so that every workspace the database knows of
//! has a disk that is as old as the database or younger.
//! Invariants: disks are read from copies only; what is a secret is read without following a link,
//! because control's user owns those folders; nothing of the platform is changed but the audit record.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufWriter, Seek as _},
    os::unix::fs::OpenOptionsExt as _,
    process::ExitCode,
};

use anyhow::{Context, bail, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use rigbox_control::{
    AuditError, StoreUrl,
    backup::{self as control_backup, Deed, Exported},
};
use rigbox_types::{Desired, Observed, Timestamp, WorkspaceId, host::DiskCopy};
use serde_json::json;

use super::{
    disks::Copies,
    document::{
        CONFIG, CONTROL, Contents, DATABASE, DiskThen, FORMAT, HEAD, HOST, HOST_ID, Head, IMAGES,
        KERNELS, Manifest, PlatformIds, SMALL_MAX_BYTES, WorkspacePart, disk_name,
    },
    pack::Pack,
    place::{Place, Sink},
    words,
};
use crate::{
    config::{DOCUMENTED, Source},
    control,
    data::{self, Platform},
    files, output,
    up::{Up, require_root, write_backup_config},
};

/// What was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) to: Place,
    pub(crate) contents: Contents,
    pub(crate) images: bool,
    pub(crate) force: bool,
    pub(crate) json: bool,
}

/// Takes one.
///
/// # Errors
/// Says what could not be read or written. No file is left then.
pub(crate) fn run(up: &Up<'_>, source: &Source, wish: &Wish) -> anyhow::Result<ExitCode> {
    require_root("backup")?;
    let layout = up.layout;
    super::target::refuse_half_restored(layout)?;
    let platform = match data::existing(layout, up.config)? {
        Some(platform) if layout.admin_key().exists() => platform,
        Some(_) | None => {
            bail!("there is no platform in {} yet\nhint: {}", layout.data(), layout.command("up"))
        }
    };
    let started_at = words::now();
    let name = format!("rigbox-{}-{}.tar.zst", platform.tag, words::compact(started_at));
    let sink = wish.to.create(&name, wish.force)?;
    let taken = Taking { up, source, wish, platform, started_at }.take(sink);
    let (place, manifest) = taken?;
    tell(wish, &place, &manifest)?;
    Ok(ExitCode::SUCCESS)
}

struct Taking<'t> {
    up: &'t Up<'t>,
    source: &'t Source,
    wish: &'t Wish,
    platform: Platform,
    started_at: Timestamp,
}

type Out = Pack<BufWriter<Box<dyn Sink>>>;

impl Taking<'_> {
    fn take(&self, sink: Box<dyn Sink>) -> anyhow::Result<(String, Manifest)> {
        let mut progress = output::Progress::default();
        // Rows and the file that they are encrypted with are copied one after the other.
        let _unrotated = rigbox_ai::vault::hold(&self.up.layout.control())?;
        progress.show("backing up the database");
        let (exported, database, engine) = self.database()?;
        let copies = match self.wish.contents {
            Contents::Everything => {
                progress.show("copying the disks of workspaces");
                let config = write_backup_config(self.up, &self.platform)?;
                let copies = Copies::make(self.up, &config);
                files::remove(&config)?;
                Some(copies?)
            }
            Contents::Database => None,
        };
        let workspaces = self.workspaces(&exported, copies.as_ref());
        let mut pack = Pack::new(BufWriter::with_capacity(256 * 1024, sink))?;
        self.small_parts(&mut pack)?;
        progress.show("writing the database");
        pack.file(DATABASE, database)?;
        self.disks(&mut pack, copies.as_ref(), (&workspaces, &mut progress))?;
        if self.wish.images {
            progress.show("writing images");
            self.tree(&mut pack, &self.up.layout.data().join("images"), IMAGES)?;
            self.tree(&mut pack, &self.up.layout.data().join("kernels"), KERNELS)?;
        }
        if let Some(copies) = copies {
            copies.release()?;
        }
        let mut manifest = Manifest {
            format: FORMAT,
            rigbox: env!("CARGO_PKG_VERSION").to_owned(),
            contents: self.wish.contents,
            platform: PlatformIds {
                tag: self.platform.tag.clone(),
                host: self.platform.host.clone(),
            },
            engine: engine.to_owned(),
            started_at: self.started_at,
            consistent_at: exported.at,
            finished_at: words::now(),
            database_rows: exported.rows,
            workspaces,
            parts: Vec::new(),
        };
        let out = pack.finish(&mut manifest)?;
        progress.show("making it durable");
        let sink = out.into_inner().map_err(|error| error.into_error());
        let place = sink.context("write the backup")?.finish()?;
        progress.end();
        Ok((place, manifest))
    }

    /// The database, in a file without a name.
    fn database(&self) -> anyhow::Result<(Exported, File, &'static str)> {
        let layout = self.up.layout;
        let file = files::unnamed(&layout.run())?;
        let store = control::store_url(
            &layout.control().join("rigbox.db"),
            self.up.config.control.database_url_file.as_deref(),
        )?;
        let engine = match &store {
            StoreUrl::Sqlite(_) => "sqlite",
            StoreUrl::Postgres(_) => "postgres",
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut out = BufWriter::with_capacity(256 * 1024, file);
        let exported = runtime.block_on(async {
            let deed = (Deed::Backup, self.wish.to.shown());
            let noted = control_backup::audit(&store, &layout.control(), (deed.0, &deed.1)).await;
            match noted {
                // A platform from before there was a record.
                Ok(()) | Err(AuditError::NoKey(_)) => {}
                Err(error) => return Err(error).context("note the backup in the audit record"),
            }
            control_backup::export(&store, &mut out).await.context("back up the database")
        })?;
        let mut file = out.into_inner().map_err(|error| error.into_error())?;
        file.rewind().context("read the database that was backed up")?;
        Ok((exported, file, engine))
    }

    fn workspaces(&self, exported: &Exported, copies: Option<&Copies>) -> Vec<WorkspacePart> {
        let copied: BTreeMap<&WorkspaceId, &DiskCopy> = copies
            .iter()
            .flat_map(|copies| &copies.copied)
            .map(|copy| (&copy.workspace, copy))
            .collect();
        let part = |then: &control_backup::WorkspaceThen| {
            let copy = copied.get(&then.id).copied();
            let is_here = then.host == self.platform.host;
            let is_missing = copies.is_some_and(|copies| copies.missing.contains(&then.id));
            let had_one = match then.observed {
                Observed::Booting
                | Observed::Running
                | Observed::Stopping
                | Observed::Stopped
                | Observed::Suspended => then.desired != Desired::Deleted,
                Observed::Absent | Observed::Preparing | Observed::Failed | Observed::Deleting => {
                    false
                }
            };
            let disk = match (copy, copies) {
                (_, None) => DiskThen::LeftOut,
                (Some(copy), Some(_)) => copy.state.into(),
                (None, Some(_)) if !is_here => DiskThen::Elsewhere,
                (None, Some(_)) if is_missing || had_one => DiskThen::Lost,
                (None, Some(_)) => DiskThen::None,
            };
            WorkspacePart {
                id: then.id.clone(),
                disk,
                copied_at: copy.map(|copy| copy.copied_at),
                reason: copy.and_then(|copy| copy.reason.clone()),
            }
        };
        exported.workspaces.iter().map(part).collect()
    }

    fn small_parts(&self, pack: &mut Out) -> anyhow::Result<()> {
        let layout = self.up.layout;
        let head = Head {
            format: FORMAT,
            rigbox: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: self.started_at,
        };
        pack.bytes(HEAD, &serde_json::to_vec(&head)?)?;
        let config = match self.source {
            Source::File(path) => files::read(path)?.with_context(|| format!("read {path}"))?,
            Source::Defaults => commented_defaults(),
        };
        pack.bytes(CONFIG, config.as_bytes())?;
        pack.bytes(HOST_ID, self.platform.host.as_str().as_bytes())?;
        // Counts the starts of the host: what it reports after a restore must be newer.
        let host = layout.data().join("host");
        if let Some(text) = files::read(&host.join("incarnation"))? {
            pack.bytes(&format!("{HOST}incarnation"), text.as_bytes())?;
        }
        self.secrets(pack, &host.join("identity"), &format!("{HOST}identity/"))?;
        self.secrets(pack, &layout.control(), CONTROL)
    }

    /// All small files of a folder, but for the embedded database, which is exported.
    fn secrets(&self, pack: &mut Out, folder: &Utf8Path, prefix: &str) -> anyhow::Result<()> {
        for (path, name) in tree(folder, prefix)? {
            let database = self.up.layout.control().join("rigbox.db");
            // The record has gone on by the time its noted end is copied.
            let is_head = path == self.up.layout.control().join("audit.head");
            if path.as_str().starts_with(database.as_str()) || name.ends_with(".new") || is_head {
                continue;
            }
            let Some(file) = open_plain(&path)? else { continue };
            let length = file.metadata().with_context(|| format!("read {path}"))?.len();
            ensure!(length <= SMALL_MAX_BYTES, "{path} is too large for a secret");
            pack.file(&name, file)?;
        }
        Ok(())
    }

    fn tree(&self, pack: &mut Out, folder: &Utf8Path, prefix: &str) -> anyhow::Result<()> {
        for (path, name) in tree(folder, prefix)? {
            if let Some(file) = open_plain(&path)? {
                pack.sparse(&name, &file)?;
            }
        }
        Ok(())
    }

    fn disks(
        &self,
        pack: &mut Out,
        copies: Option<&Copies>,
        (workspaces, progress): (&[WorkspacePart], &mut output::Progress),
    ) -> anyhow::Result<()> {
        let Some(copies) = copies else { return Ok(()) };
        let is_known = |copy: &&DiskCopy| workspaces.iter().any(|known| known.id == copy.workspace);
        let (known, unknown): (Vec<_>, Vec<_>) = copies.copied.iter().partition(is_known);
        for (at, copy) in known.iter().enumerate() {
            progress.show(&format!(
                "writing disk {} of {}: {}",
                at + 1,
                known.len(),
                copy.workspace
            ));
            let file = File::open(&copy.path).with_context(|| format!("open {}", copy.path))?;
            pack.sparse(&disk_name(&copy.workspace), &file)?;
        }
        if !unknown.is_empty() {
            let count = unknown.len();
            output::note(&format!("left out: {count} disks that the database did not know of"));
        }
        Ok(())
    }
}

/// All plain files below a folder, in the order of their names. Links are not followed.
fn tree(folder: &Utf8Path, prefix: &str) -> anyhow::Result<Vec<(Utf8PathBuf, String)>> {
    /// Deeper than any folder of ours.
    const DEPTH_MAX: usize = 8;
    let mut all = Vec::new();
    let mut folders = vec![(folder.to_owned(), prefix.to_owned(), 0)];
    while let Some((folder, prefix, depth)) = folders.pop() {
        let entries = match folder.read_dir_utf8() {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error).with_context(|| format!("read {folder}")),
        };
        for entry in entries {
            let entry = entry.with_context(|| format!("read {folder}"))?;
            let kind = entry.file_type().with_context(|| format!("read {}", entry.path()))?;
            let name = format!("{prefix}{}", entry.file_name());
            if kind.is_dir() && depth < DEPTH_MAX {
                folders.push((entry.path().to_owned(), format!("{name}/"), depth + 1));
            } else if kind.is_file() {
                all.push((entry.path().to_owned(), name));
            }
        }
    }
    all.sort();
    Ok(all)
}

/// A file that is one, whatever its folder's owner has made of it since it was listed.
fn open_plain(path: &Utf8Path) -> anyhow::Result<Option<File>> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let mut options = File::options();
    let opened = options.read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let file = match opened {
        Ok(file) => file,
        // A temporary file that has its name by now.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("open {path}")),
    };
    let is_file = file.metadata().with_context(|| format!("look at {path}"))?.is_file();
    ensure!(is_file, "{path} is no plain file");
    Ok(Some(file))
}

fn commented_defaults() -> String {
    let line = |line: &str| if line.is_empty() { "\n".to_owned() } else { format!("# {line}\n") };
    DOCUMENTED.lines().map(line).collect()
}

fn tell(wish: &Wish, place: &str, manifest: &Manifest) -> anyhow::Result<()> {
    let crashed: Vec<_> = manifest
        .workspaces
        .iter()
        .filter(|workspace| workspace.disk == DiskThen::CrashConsistent)
        .collect();
    for workspace in &crashed {
        let reason = workspace.reason.as_deref().unwrap_or("it was running");
        output::note(&format!("{}: as after a loss of power ({reason})", workspace.id));
    }
    let line = match manifest.contents {
        Contents::Everything => format!(
            "backed up to {place}: {} workspaces, {} disks, as of {}",
            manifest.workspaces.len(),
            manifest.disks(),
            manifest.consistent_at
        ),
        Contents::Database => format!(
            "backed up to {place}: {} workspaces without their disks, as of {}",
            manifest.workspaces.len(),
            manifest.consistent_at
        ),
    };
    if wish.json {
        let document = json!({
            "event": "backed_up",
            "place": place,
            "contents": manifest.contents,
            "consistent_at": manifest.consistent_at,
            "finished_at": manifest.finished_at,
            "disk_bytes": manifest.disk_bytes(),
            "workspaces": manifest.workspaces,
        });
        words::result(&wish.to, &document.to_string());
    } else {
        words::result(&wish.to, &line);
    }
    Ok(())
}
