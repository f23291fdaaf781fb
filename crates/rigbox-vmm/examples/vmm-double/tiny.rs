//! Executes kernels of a few instructions, so that a machine can be probed with the double: those
//! that write to the serial port, count, reset and halt.

use std::{thread, time::Duration};

use crate::{console, end};

/// Runs the kernel from its entry until it resets or halts; false if it is not one of those.
pub(crate) fn run(kernel: &[u8]) -> bool {
    let Some(entry) = kernel.get(24..32).and_then(|bytes| bytes.try_into().ok()) else {
        return false;
    };
    let Some(start) = u64::from_le_bytes(entry).checked_sub(LOAD_ADDRESS) else { return false };
    let Some(mut code) = usize::try_from(start).ok().and_then(|start| kernel.get(start..)) else {
        return false;
    };
    let (mut dx, mut al) = (0_u16, 0_u8);
    loop {
        code = match code {
            // mov dx, imm16
            [0x66, 0xba, low, high, rest @ ..] => {
                dx = u16::from_le_bytes([*low, *high]);
                rest
            }
            // mov al, imm8
            [0xb0, value, rest @ ..] => {
                al = *value;
                rest
            }
            // mov ecx, imm32; sub ecx, 1; jnz to it: a count that takes no time here.
            [0xb9, _, _, _, _, 0x83, 0xe9, 0x01, 0x75, 0xfb, rest @ ..] => rest,
            // out dx, al
            [0xee, rest @ ..] => {
                if dx == SERIAL_PORT {
                    console(&char::from(al).to_string());
                }
                rest
            }
            // out 0x64, al
            [0xe6, 0x64, ..] if al == RESET => end(0),
            // hlt
            [0xf4, ..] => loop {
                thread::sleep(Duration::from_secs(1));
            },
            _ => return false,
        };
    }
}

const LOAD_ADDRESS: u64 = 0x10_0000;
const SERIAL_PORT: u16 = 0x3f8;
const RESET: u8 = 0xfe;
