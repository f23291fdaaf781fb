//! The terminal that rig runs in: its size, raw mode, and input without echo.
//! Invariant: whoever changes the terminal's mode gets a guard that changes it back, also when the
//! process panics; signals that would end the process while it is changed are handled by whoever
//! holds the guard.

use std::{
    io::{self, Read as _},
    panic,
    sync::{Mutex, Once},
};

use rigbox_types::guest::TtySize;
use rustix::termios::{
    self, LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize,
    tcsetattr,
};

use crate::error::{CommandError, CommandResult};

/// Largest size that the API takes.
const SIZE_MAX: u16 = 1000;
/// The size where a terminal does not say.
const SIZE_DEFAULT: TtySize = TtySize { cols: 80, rows: 24 };

/// The mode to go back to when the process panics.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);
static PANIC_HOOK: Once = Once::new();

/// Keeps the terminal in another mode.
#[derive(Debug)]
pub(crate) struct ModeGuard;

impl ModeGuard {
    /// Every byte goes to the workspace, and none is echoed here.
    pub(crate) fn raw() -> CommandResult<Self> {
        Self::change(Termios::make_raw)
    }

    /// Characters come one by one and are not shown; Ctrl-C is a character.
    fn hidden() -> CommandResult<Self> {
        Self::change(|mode| {
            mode.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
            // Reads wait for one character.
            mode.special_codes[SpecialCodeIndex::VMIN] = 1;
            mode.special_codes[SpecialCodeIndex::VTIME] = 0;
        })
    }

    fn change(change: impl FnOnce(&mut Termios)) -> CommandResult<Self> {
        let denied = |error: rustix::io::Errno| {
            CommandError::file("change the mode of the terminal", &io::Error::from(error))
        };
        let before = tcgetattr(io::stdin()).map_err(denied)?;
        let mut after = before.clone();
        change(&mut after);
        remember(Some(before));
        PANIC_HOOK.call_once(|| {
            let default = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                restore();
                default(info);
            }));
        });
        tcsetattr(io::stdin(), OptionalActions::Now, &after).map_err(denied)?;
        Ok(Self)
    }
}

impl Drop for ModeGuard {
    fn drop(&mut self) {
        restore();
    }
}

fn remember(mode: Option<Termios>) {
    match BEFORE.lock() {
        Ok(mut before) => *before = mode,
        Err(poisoned) => *poisoned.into_inner() = mode,
    }
}

fn restore() {
    let before = match BEFORE.lock() {
        Ok(mut before) => before.take(),
        Err(poisoned) => poisoned.into_inner().take(),
    };
    if let Some(before) = before {
        // A terminal that is gone needs no mode.
        tcsetattr(io::stdin(), OptionalActions::Now, &before).unwrap_or_default();
    }
}

/// The size of the terminal, within what the API takes.
pub(crate) fn size() -> TtySize {
    let Ok(size) = tcgetwinsize(io::stdout()).or_else(|_| tcgetwinsize(io::stdin())) else {
        return SIZE_DEFAULT;
    };
    if size.ws_col == 0 || size.ws_row == 0 {
        return SIZE_DEFAULT;
    }
    TtySize { cols: size.ws_col.min(SIZE_MAX), rows: size.ws_row.min(SIZE_MAX) }
}

/// Whether standard input and output are a terminal.
pub(crate) fn is_interactive() -> bool {
    termios::isatty(io::stdin()) && termios::isatty(io::stdout())
}

/// Asks with `ask` and reads a line that is not shown: not even what is typed at once, because
/// the mode changes before anybody is asked.
pub(crate) fn read_hidden(max_bytes: usize, ask: impl FnOnce()) -> CommandResult<String> {
    let _guard = ModeGuard::hidden()?;
    ask();
    let mut line = Vec::new();
    let mut stdin = io::stdin().lock();
    loop {
        let mut byte = [0_u8];
        let read = stdin.read(&mut byte);
        match (read, byte) {
            (Err(error), _) if error.kind() == io::ErrorKind::Interrupted => {}
            (Err(error), _) => return Err(CommandError::file("read the key", &error)),
            (Ok(0), _) | (Ok(_), [b'\r' | b'\n' | END_OF_INPUT]) => break,
            (Ok(_), [INTERRUPT]) => return Err(CommandError::interrupted("interrupted")),
            (Ok(_), [DELETE | BACKSPACE]) => {
                line.pop();
            }
            (Ok(_), [ERASE_LINE]) => line.clear(),
            (Ok(_), [byte]) if line.len() < max_bytes => line.push(byte),
            (Ok(_), _) => {}
        }
    }
    String::from_utf8(line).map_err(|_| CommandError::usage("an API key is one word, such as rb_…"))
}

const INTERRUPT: u8 = 0x03;
const END_OF_INPUT: u8 = 0x04;
const BACKSPACE: u8 = 0x08;
const ERASE_LINE: u8 = 0x15;
const DELETE: u8 = 0x7f;
