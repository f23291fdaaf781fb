//! Runs the tools that make images: for as long as they need, their lines handed on as they come.
//! (`exec` runs short tools with bounded time; a kernel build takes half an hour.)
//! Invariants: a tool is killed when nobody waits for it any more; its environment is ours; it keeps
//! the builder's lock for as long as it or a child of it lives, because the lock's file is its
//! standard input. So what a killed builder left running is never overtaken by the next one.
//! Does not interpret what a tool says.

use std::{collections::VecDeque, env, fs::File, process::Stdio};

use camino::{Utf8Path, Utf8PathBuf};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader},
    process::Command,
    sync::mpsc,
};

use super::error::ImageError;

/// The time that every file of an image has: 2023-11-14, as in the measurements of the boot.
pub(super) const EPOCH: u32 = 1_700_000_000;

/// Lines of a failed tool that its error shows.
const KEPT_LINES: usize = 12;

/// Longest line that is read whole; dpkg's and make's are shorter.
const LINE_MAX_BYTES: u64 = 8 * 1024;

/// Most output that is kept of a tool whose output is asked for: `dumpe2fs` of the largest image
/// writes 100 KiB, `apt-cache` 1 MiB.
const OUTPUT_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Lines that wait to be read; a tool that is faster waits.
const LINES_QUEUED: usize = 256;

/// Where system tools are, whatever the caller's PATH.
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a tool may know of the caller's environment: how to reach the network.
const PASSED_ON: [&str; 8] = [
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "all_proxy",
];

/// A command and the Debian package that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tool {
    pub(super) name: &'static str,
    pub(super) package: &'static str,
}

macro_rules! tools {
    ($($constant:ident = $name:literal in $package:literal;)*) => {
        $(pub(super) const $constant: Tool = Tool { name: $name, package: $package };)*
    };
}

tools! {
    MMDEBSTRAP = "mmdebstrap" in "mmdebstrap";
    TAR = "tar" in "tar";
    ZSTD = "zstd" in "zstd";
    LZ4 = "lz4" in "lz4";
    XZ = "xz" in "xz-utils";
    GZIP = "gzip" in "gzip";
    MKE2FS = "mke2fs" in "e2fsprogs";
    DEBUGFS = "debugfs" in "e2fsprogs";
    DUMPE2FS = "dumpe2fs" in "e2fsprogs";
    E2FSCK = "e2fsck" in "e2fsprogs";
    DPKG_DEB = "dpkg-deb" in "dpkg";
    APT_GET = "apt-get" in "apt";
    APT_CACHE = "apt-cache" in "apt";
    SH = "sh" in "dash";
    MAKE = "make" in "make";
    CC = "cc" in "gcc";
    FLEX = "flex" in "flex";
    BISON = "bison" in "bison";
    BC = "bc" in "bc";
    STRIP = "strip" in "binutils";
    NICE = "nice" in "coreutils";
}

impl Tool {
    /// Where it is.
    pub(super) fn find(self) -> Result<Utf8PathBuf, ImageError> {
        let own = env::var("PATH").unwrap_or_default();
        SYSTEM_PATH
            .split(':')
            .chain(own.split(':').filter(|dir| dir.starts_with('/')))
            .map(|dir| Utf8Path::new(dir).join(self.name))
            .find(|path| path.is_file())
            .ok_or_else(|| ImageError::MissingTools {
                tools: self.name.to_owned(),
                packages: self.package.to_owned(),
            })
    }
}

/// One run of a tool.
#[derive(Debug)]
pub(super) struct Run<'a> {
    tool: Tool,
    arguments: Vec<String>,
    variables: Vec<(&'static str, String)>,
    dir: Option<&'a Utf8Path>,
    lock: Option<&'a File>,
}

impl<'a> Run<'a> {
    pub(super) fn new<I, S>(tool: Tool, arguments: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        let arguments = arguments.into_iter().map(Into::into).collect();
        Self { tool, arguments, variables: Vec::new(), dir: None, lock: None }
    }

    pub(super) fn env(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    pub(super) fn within(mut self, dir: &'a Utf8Path) -> Self {
        self.dir = Some(dir);
        self
    }

    /// The builder's lock, which the tool holds too.
    pub(super) fn holding(mut self, lock: &'a File) -> Self {
        self.lock = Some(lock);
        self
    }

    /// Runs it to its end and hands on each line of its output and of its errors.
    pub(super) async fn lines(self, mut each: impl FnMut(&str)) -> Result<(), ImageError> {
        let tool = self.tool.name;
        let start = |source| ImageError::File { action: "start", path: tool.into(), source };
        let mut child = self.command()?.spawn().map_err(start)?;
        let (sender, mut receiver) = mpsc::channel(LINES_QUEUED);
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let reading =
            async { tokio::join!(forward(stdout, sender.clone()), forward(stderr, sender)) };
        let mut last = VecDeque::with_capacity(KEPT_LINES);
        let listening = async {
            while let Some(line) = receiver.recv().await {
                each(&line);
                if last.len() == KEPT_LINES {
                    last.pop_front();
                }
                last.push_back(line);
            }
        };
        let (_, ()) = tokio::join!(reading, listening);
        let status = child.wait().await.map_err(start)?;
        if status.success() {
            return Ok(());
        }
        let reason = Vec::from(last).join("\n");
        Err(ImageError::Tool { tool: tool.to_owned(), status: status.to_string(), reason })
    }

    /// Runs it to its end and gives back its output.
    pub(super) async fn output(self) -> Result<String, ImageError> {
        let tool = self.tool.name;
        let start = |source| ImageError::File { action: "start", path: tool.into(), source };
        let mut child = self.command()?.spawn().map_err(start)?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let (out, err) = tokio::join!(whole(stdout), whole(stderr));
        let status = child.wait().await.map_err(start)?;
        if status.success() {
            return Ok(out);
        }
        let lines: Vec<&str> = err.lines().collect();
        let reason = lines.get(lines.len().saturating_sub(KEPT_LINES)..).unwrap_or_default();
        Err(ImageError::Tool {
            tool: tool.to_owned(),
            status: status.to_string(),
            reason: reason.join("\n"),
        })
    }

    /// Runs it to its end with its output in a file.
    pub(super) async fn into_file(self, file: File) -> Result<(), ImageError> {
        let tool = self.tool.name;
        let start = |source| ImageError::File { action: "start", path: tool.into(), source };
        let mut child = self.command()?.stdout(file).spawn().map_err(start)?;
        let err = whole(child.stderr.take()).await;
        let status = child.wait().await.map_err(start)?;
        if status.success() {
            return Ok(());
        }
        let reason = err.trim().to_owned();
        Err(ImageError::Tool { tool: tool.to_owned(), status: status.to_string(), reason })
    }

    fn command(&self) -> Result<Command, ImageError> {
        let mut command = Command::new(self.tool.find()?);
        command.args(&self.arguments).env_clear().env("PATH", SYSTEM_PATH).env("HOME", "/root");
        command.env("LC_ALL", "C.UTF-8").env("TZ", "UTC").env("DEBIAN_FRONTEND", "noninteractive");
        command.env("SOURCE_DATE_EPOCH", EPOCH.to_string());
        command.envs(PASSED_ON.into_iter().filter_map(|name| Some((name, env::var_os(name)?))));
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        if let Some(dir) = self.dir {
            command.current_dir(dir);
        }
        let stdin = match self.lock {
            Some(lock) => lock.try_clone().map(Stdio::from).map_err(|source| ImageError::File {
                action: "hand on the lock to",
                path: self.tool.name.into(),
                source,
            })?,
            None => Stdio::null(),
        };
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        Ok(command)
    }
}

/// Sends the lines of a stream; the tail of a line that is too long comes as a line of its own.
async fn forward(stream: Option<impl AsyncRead + Unpin>, to: mpsc::Sender<String>) {
    let Some(stream) = stream else { return };
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        let read = (&mut reader).take(LINE_MAX_BYTES).read_until(b'\n', &mut line).await;
        // A stream that cannot be read has ended, as far as we can know.
        if !matches!(read, Ok(1..)) {
            return;
        }
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        if !text.is_empty() && to.send(text).await.is_err() {
            return;
        }
    }
}

/// Reads to the end, keeps the beginning.
async fn whole(stream: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut stream) = stream else { return String::new() };
    let mut kept = Vec::new();
    let read = (&mut stream).take(OUTPUT_MAX_BYTES).read_to_end(&mut kept).await;
    if read.is_ok() {
        // The rest is read too, or the tool would wait for somebody to read it.
        drop(tokio::io::copy(&mut stream, &mut tokio::io::sink()).await);
    }
    String::from_utf8_lossy(&kept).into_owned()
}
