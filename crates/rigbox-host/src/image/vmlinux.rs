//! Takes the uncompressed ELF kernel out of a bzImage, because Firecracker boots only that.
//! The boot protocol's header says where the compressed kernel lies; its first bytes say how it is
//! compressed. The file is Debian's, but read as carefully as a stranger's.

use std::fs::{self, File};

use camino::Utf8Path;

use super::{
    error::ImageError,
    store::Turn,
    tool::{GZIP, LZ4, Run, Tool, XZ, ZSTD},
};

/// Largest packed kernel that is read; Debian's has 14 MiB.
const PACKED_MAX_BYTES: u64 = 256 * 1024 * 1024;

/// Offsets of the boot protocol (version 2.08 and later), in the first sector.
const SETUP_SECTORS: usize = 0x1f1;
const MAGIC: usize = 0x202;
const VERSION: usize = 0x206;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;
const SECTOR_BYTES: usize = 512;

/// How a kernel may be compressed: its first bytes, and what unpacks it to standard output.
const FORMATS: [(&[u8], Tool, &[&str]); 4] = [
    (&[0x02, 0x21, 0x4c, 0x18], LZ4, &["-q", "-d", "-c"]),
    (&[0xfd, b'7', b'z', b'X', b'Z', 0], XZ, &["-d", "-c", "--single-stream"]),
    (&[0x28, 0xb5, 0x2f, 0xfd], ZSTD, &["-q", "-d", "-c"]),
    (&[0x1f, 0x8b, 0x08], GZIP, &["-q", "-d", "-c"]),
];

const ELF: &[u8] = b"\x7fELF";

/// Unpacks a kernel into a file.
pub(super) async fn extract(
    packed: &Utf8Path,
    to: &Utf8Path,
    turn: &Turn,
) -> Result<(), ImageError> {
    let not_a_kernel = |reason| ImageError::NotAKernel { path: packed.to_owned(), reason };
    let length = fs::metadata(packed).map_err(ImageError::file("look at", packed))?.len();
    if length > PACKED_MAX_BYTES {
        return Err(not_a_kernel("it is larger than 256 MiB"));
    }
    let image = fs::read(packed).map_err(ImageError::file("read", packed))?;
    let payload = payload(&image).map_err(not_a_kernel)?;
    if payload.starts_with(ELF) {
        fs::write(to, payload).map_err(ImageError::file("write", to))?;
    } else {
        let format = FORMATS.iter().find(|(magic, ..)| payload.starts_with(magic));
        let (_, tool, arguments) =
            format.ok_or_else(|| not_a_kernel("its compression is not known"))?;
        let part = turn.work().join("payload");
        fs::write(&part, without_length(payload)).map_err(ImageError::file("write", &part))?;
        let arguments = arguments.iter().copied().chain([part.as_str()]);
        let file = File::create(to).map_err(ImageError::file("make", to))?;
        Run::new(*tool, arguments).holding(turn.lock()).into_file(file).await?;
    }
    let mut start = [0; 4];
    let read = File::open(to).and_then(|mut file| std::io::Read::read_exact(&mut file, &mut start));
    read.map_err(ImageError::file("read", to))?;
    if start == ELF { Ok(()) } else { Err(not_a_kernel("what it holds is no ELF file")) }
}

/// The compressed kernel of a bzImage.
fn payload(image: &[u8]) -> Result<&[u8], &'static str> {
    let short = "it ends too early";
    if image.get(MAGIC..MAGIC + 4).ok_or(short)? != b"HdrS" {
        return Err("it has no boot header");
    }
    let version = u16::from_le_bytes(array(image, VERSION).ok_or(short)?);
    if version < 0x0208 {
        return Err("its boot protocol is older than 2.08");
    }
    // Zero means four, for the oldest boot loaders.
    let sectors = match *image.get(SETUP_SECTORS).ok_or(short)? {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let field = |at| array(image, at).map(u32::from_le_bytes).and_then(|v| usize::try_from(v).ok());
    let start = sectors
        .saturating_add(1)
        .saturating_mul(SECTOR_BYTES)
        .saturating_add(field(PAYLOAD_OFFSET).ok_or(short)?);
    let end = start.saturating_add(field(PAYLOAD_LENGTH).ok_or(short)?);
    image.get(start..end).ok_or(short)
}

/// The kernel's build adds the unpacked length to the compressed bytes; tools trip over it.
fn without_length(payload: &[u8]) -> &[u8] {
    payload.get(..payload.len().saturating_sub(4)).unwrap_or_default()
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(sectors: u8, offset: u32, payload: &[u8]) -> Vec<u8> {
        let start = (usize::from(sectors.max(1)) + 1) * SECTOR_BYTES;
        let mut image = vec![0; start + usize::try_from(offset).unwrap()];
        image[SETUP_SECTORS] = sectors;
        image[MAGIC..MAGIC + 4].copy_from_slice(b"HdrS");
        image[VERSION..VERSION + 2].copy_from_slice(&0x020f_u16.to_le_bytes());
        image[PAYLOAD_OFFSET..PAYLOAD_OFFSET + 4].copy_from_slice(&offset.to_le_bytes());
        let length = u32::try_from(payload.len()).unwrap();
        image[PAYLOAD_LENGTH..PAYLOAD_LENGTH + 4].copy_from_slice(&length.to_le_bytes());
        image.extend_from_slice(payload);
        image
    }

    #[test]
    fn the_payload_is_where_the_header_says() {
        assert_eq!(payload(&image(2, 7, b"kernel")), Ok(&b"kernel"[..]));
        assert_eq!(without_length(b"kernel1234"), b"kernel");
    }

    #[test]
    fn what_is_no_kernel_is_refused() {
        let whole = image(2, 7, b"kernel");
        for broken in [&[][..], &whole[..700], &whole[..whole.len() - 1], &[0; 4096]] {
            payload(broken).unwrap_err();
        }
        let mut lying = whole.clone();
        lying[PAYLOAD_LENGTH..PAYLOAD_LENGTH + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        payload(&lying).unwrap_err();
    }
}
