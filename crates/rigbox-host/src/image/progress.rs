//! What a build says while it runs. Does not print.

use std::fmt;

/// Whoever wants to hear how far a build is. Called often: keep it quick.
pub type Report<'a> = &'a (dyn Fn(&Progress) + Send + Sync);

/// One piece of news.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub stage: Stage,
    /// How much of the stage is done, where that is known.
    pub percent: Option<u8>,
    /// What exactly, such as the package that is being unpacked; may be empty.
    pub detail: String,
}

/// The stages of a build, in the order in which they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Another build in the same data directory goes first.
    Waiting,
    /// Package lists are being fetched.
    PackageLists,
    /// Packages are being downloaded.
    Download,
    /// Packages are being unpacked and set up.
    Install,
    /// Source is being unpacked and configured.
    Source,
    /// A kernel is being compiled.
    Compile,
    /// The packages are packed into an archive that later builds reuse.
    Archive,
    /// Files, masks and programs are being added.
    Files,
    /// The file system is being made.
    FileSystem,
    /// The result is being read once, for its digest.
    Digest,
    /// Ready.
    Done,
}

impl Progress {
    pub(super) fn at(stage: Stage, detail: impl Into<String>) -> Self {
        Self { stage, percent: None, detail: detail.into() }
    }

    /// Part and whole become a percentage; a whole of zero is unknown.
    pub(super) fn part(stage: Stage, (done, all): (u64, u64), detail: impl Into<String>) -> Self {
        let percent = done.saturating_mul(100).checked_div(all).map(|percent| percent.min(100));
        Self {
            stage,
            percent: percent.and_then(|percent| u8::try_from(percent).ok()),
            detail: detail.into(),
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waiting => "waiting",
            Self::PackageLists => "fetching package lists",
            Self::Download => "downloading",
            Self::Install => "installing",
            Self::Source => "preparing the source",
            Self::Compile => "compiling",
            Self::Archive => "archiving",
            Self::Files => "adding files",
            Self::FileSystem => "making the file system",
            Self::Digest => "computing the digest",
            Self::Done => "done",
        })
    }
}

/// `installing 42 % (python3)`, as people read it.
impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.stage)?;
        if let Some(percent) = self.percent {
            write!(f, " {percent} %")?;
        }
        if self.detail.is_empty() { Ok(()) } else { write!(f, " ({})", self.detail) }
    }
}
