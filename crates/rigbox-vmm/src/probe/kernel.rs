//! A guest kernel of a few instructions: it writes [`BEGIN`] to the first serial port, counts down
//! from [`ROUNDS`], writes [`END`], asks for a reset, and halts.
//!
//! The count is what tells a KVM that works from one that executes every instruction in software,
//! as some nested ones do: that boots this kernel, and a real one in hours.
//!
//! It is an ELF file with the note that both VMMs look for (PVH: entry in 32-bit protected mode
//! without paging). The instructions mean the same in 64-bit mode, in which an older Firecracker
//! enters at the ELF's own entry.

/// What it writes first.
pub(super) const BEGIN: &str = "rigbox-probe-begin";
/// What it writes when it has counted.
pub(super) const END: &str = "rigbox-probe-end";
/// 20 ms on a processor, 0.1 to 0.2 s where the whole machine is emulated; 60 s at the 3 us a round
/// that were measured under a KVM that is software.
const ROUNDS: u32 = 20_000_000;

/// The file.
pub(super) fn elf() -> Vec<u8> {
    let code = code();
    let size = (CODE_OFFSET + code.len()) as u64;
    let mut file = Vec::new();
    // ELF header: 64-bit, little-endian, executable, x86-64.
    file.extend([0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    file.extend(u16s([2, 62]));
    file.extend(1_u32.to_le_bytes());
    // Entry, program headers, no section headers, no flags.
    file.extend(u64s([ENTRY, HEADER_BYTES, 0]));
    file.extend(0_u32.to_le_bytes());
    file.extend(u16s([64, 56, 2, 0, 0, 0]));
    // The whole file is loaded, to 1 MiB: PT_LOAD, readable and executable.
    file.extend(u32s([1, 5]));
    file.extend(u64s([0, BASE, BASE, size, size, 0x1000]));
    // PT_NOTE.
    file.extend(u32s([4, 4]));
    file.extend(u64s([NOTE_OFFSET, BASE + NOTE_OFFSET, BASE + NOTE_OFFSET, NOTE_BYTES]));
    file.extend(u64s([NOTE_BYTES, 4]));
    // XEN_ELFNOTE_PHYS32_ENTRY of "Xen": 8 bytes of address.
    file.extend(u32s([4, 8, 18]));
    file.extend(b"Xen\0");
    file.extend(ENTRY.to_le_bytes());
    file.resize(CODE_OFFSET, 0);
    file.extend(code);
    file
}

fn code() -> Vec<u8> {
    let mut code = Vec::new();
    write(&mut code, BEGIN);
    // mov ecx, ROUNDS
    code.push(0xb9);
    code.extend(ROUNDS.to_le_bytes());
    // sub ecx, 1; jnz to it. (`dec` would be a prefix in 64-bit mode.)
    code.extend([0x83, 0xe9, 0x01, 0x75, 0xfb]);
    write(&mut code, END);
    // mov al, 0xfe; out 0x64, al: reset by the keyboard controller, where there is one.
    code.extend([0xb0, 0xfe, 0xe6, 0x64]);
    // hlt; jmp to it.
    code.extend([0xf4, 0xeb, 0xfd]);
    code
}

fn write(code: &mut Vec<u8>, text: &str) {
    // mov dx, 0x3f8
    code.extend([0x66, 0xba, 0xf8, 0x03]);
    for byte in text.bytes().chain(*b"\n") {
        // mov al, byte; out dx, al
        code.extend([0xb0, byte, 0xee]);
    }
}

fn u16s(values: impl IntoIterator<Item = u16>) -> impl Iterator<Item = u8> {
    values.into_iter().flat_map(u16::to_le_bytes)
}

fn u32s(values: impl IntoIterator<Item = u32>) -> impl Iterator<Item = u8> {
    values.into_iter().flat_map(u32::to_le_bytes)
}

fn u64s(values: impl IntoIterator<Item = u64>) -> impl Iterator<Item = u8> {
    values.into_iter().flat_map(u64::to_le_bytes)
}

const BASE: u64 = 0x10_0000;
const HEADER_BYTES: u64 = 64;
/// After the ELF header and two program headers.
const NOTE_OFFSET: u64 = HEADER_BYTES + 2 * 56;
const NOTE_BYTES: u64 = 24;
const CODE_OFFSET: usize = 0x100;
const ENTRY: u64 = BASE + 0x100;
