//! The file of the vault: its generations, and the lock beside it.
//! Invariant: the file is replaced whole, and is on disk when a call returns.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
};

use camino::{Utf8Path, Utf8PathBuf};
use ring::rand::{SecureRandom as _, SystemRandom};
use secrecy::{ExposeSecret as _, SecretBox, SecretString};

use super::VaultError;

/// Its name in the directory of the installation's own secrets.
const FILE: &str = "ai.key";

/// What is locked; the file itself is replaced.
const LOCK: &str = "ai.key.lock";

/// Bytes of a key.
const LEN: usize = 32;

/// Permission bits that the file must not have.
const OTHERS: u32 = 0o077;

/// Most generations: a rotation makes one and takes the others away.
const MAX_COUNT: usize = 8;

/// One key, by its number.
pub(super) struct Generation {
    pub(super) number: u32,
    pub(super) key: SecretBox<[u8; LEN]>,
}

/// All of them, the newest last; there is one at least.
pub(super) struct Generations(Vec<Generation>);

/// Held while a row is encrypted, or while keys are rotated.
pub(super) struct Lock(#[expect(dead_code, reason = "it is let go when it is closed")] File);

/// Where the file is.
pub(super) fn path(folder: &Utf8Path) -> Utf8PathBuf {
    folder.join(FILE)
}

impl Generations {
    pub(super) fn read_or_make(folder: &Utf8Path) -> Result<Self, VaultError> {
        let path = path(folder);
        let failed = |source| VaultError::File { path: path.clone(), source };
        if !path.try_exists().map_err(failed)? {
            // Of two first starts at once, one makes it.
            let _lock = Lock::exclusive(folder)?;
            if !path.try_exists().map_err(failed)? {
                Self(vec![Generation::random(1)?]).write(folder)?;
            }
        }
        Self::read(folder)
    }

    pub(super) fn read(folder: &Utf8Path) -> Result<Self, VaultError> {
        let path = path(folder);
        let failed = |source| VaultError::File { path: path.clone(), source };
        let mode = fs::metadata(&path).map_err(failed)?.permissions().mode() & 0o777;
        if mode & OTHERS != 0 {
            return Err(VaultError::Exposed { path, mode });
        }
        let text = SecretString::from(fs::read_to_string(&path).map_err(failed)?);
        let mut all: Vec<Generation> = Vec::new();
        for (line, text) in text.expose_secret().lines().enumerate() {
            let form = || VaultError::Form { path: path.clone(), line: line.saturating_add(1) };
            let read = Generation::parse(text).ok_or_else(form)?;
            if all.len() >= MAX_COUNT || all.last().is_some_and(|last| last.number >= read.number) {
                return Err(form());
            }
            all.push(read);
        }
        if all.is_empty() {
            return Err(VaultError::Form { path, line: 1 });
        }
        Ok(Self(all))
    }

    /// Puts these in the file.
    pub(super) fn write(&self, folder: &Utf8Path) -> Result<(), VaultError> {
        let path = path(folder);
        let lines: String = self.0.iter().map(Generation::line).collect();
        let written = replace(folder, &path, &SecretString::from(lines));
        written.map_err(|source| VaultError::File { path, source })
    }

    /// With one more, which is the newest.
    pub(super) fn with_next(mut self) -> Result<Self, VaultError> {
        let number = self.newest().number.checked_add(1).ok_or(VaultError::Seal)?;
        self.0.push(Generation::random(number)?);
        Ok(self)
    }

    /// Without all but the newest.
    pub(super) fn newest_alone(mut self) -> Self {
        self.0.drain(..self.0.len().saturating_sub(1));
        self
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, number: u32) -> Option<&Generation> {
        self.0.iter().find(|generation| generation.number == number)
    }

    pub(super) fn newest(&self) -> &Generation {
        self.0
            .last()
            .expect("reading refuses a file without one, and the newest is never taken away")
    }
}

impl Generation {
    fn random(number: u32) -> Result<Self, VaultError> {
        let mut key = Box::new([0; LEN]);
        SystemRandom::new().fill(key.as_mut_slice()).map_err(|_| VaultError::Seal)?;
        Ok(Self { number, key: SecretBox::new(key) })
    }

    fn parse(line: &str) -> Option<Self> {
        let (number, digits) = line.split_once(' ')?;
        if digits.len() != 2 * LEN || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut key = Box::new([0; LEN]);
        for (at, byte) in key.iter_mut().enumerate() {
            *byte = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        Some(Self { number: number.parse().ok()?, key: SecretBox::new(key) })
    }

    fn line(&self) -> String {
        let digits: String =
            self.key.expose_secret().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{} {digits}\n", self.number)
    }
}

impl Lock {
    /// Beside others that encrypt.
    pub(super) fn shared(folder: &Utf8Path) -> Result<Self, VaultError> {
        let (path, file) = Self::open(folder)?;
        Self::share(file, path)
    }

    /// The same for who writes nothing, so that no file is made that is not its owner's; none where no key
    /// was ever set.
    pub(super) fn held(folder: &Utf8Path) -> Result<Option<Self>, VaultError> {
        let path = folder.join(LOCK);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(VaultError::File { path, source }),
        };
        Self::share(file, path).map(Some)
    }

    fn share(file: File, path: Utf8PathBuf) -> Result<Self, VaultError> {
        match file.try_lock_shared() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(VaultError::Rotating),
            Err(TryLockError::Error(source)) => Err(VaultError::File { path, source }),
        }
    }

    /// Alone: waits for those that encrypt, which takes as long as a row is written.
    pub(super) fn exclusive(folder: &Utf8Path) -> Result<Self, VaultError> {
        let (path, file) = Self::open(folder)?;
        file.lock().map_err(|source| VaultError::File { path, source })?;
        Ok(Self(file))
    }

    fn open(folder: &Utf8Path) -> Result<(Utf8PathBuf, File), VaultError> {
        let path = folder.join(LOCK);
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        let opened = fs::create_dir_all(folder).and_then(|()| options.open(&path));
        match opened {
            Ok(file) => Ok((path, file)),
            Err(source) => Err(VaultError::File { path, source }),
        }
    }
}

fn replace(folder: &Utf8Path, path: &Utf8Path, text: &SecretString) -> io::Result<()> {
    // Whoever writes holds the lock, so one name is enough; what is there was cut off.
    let new = path.with_extension("key.new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&new)?;
    file.write_all(text.expose_secret().as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    File::open(folder)?.sync_all()
}
