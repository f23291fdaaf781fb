//! Sizes as people write them: `512MiB`, `2GiB`, or a plain number of MiB. Pure.

/// Reads a size into MiB. `M`, `MB` and `MiB` mean the same, as do the others: memory and disks of
/// workspaces come in powers of two only.
///
/// # Errors
/// What to write instead.
pub(crate) fn parse(text: &str) -> Result<u32, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u32 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "m" | "mb" | "mib" => 1,
        "g" | "gb" | "gib" => 1024,
        "t" | "tb" | "tib" => 1024 * 1024,
        _ => return Err("write a size as 512MiB, 2GiB, or a whole number of MiB".to_owned()),
    };
    let number: u32 = number
        .parse()
        .map_err(|_| "write a size as 512MiB, 2GiB, or a whole number of MiB".to_owned())?;
    match number.checked_mul(factor) {
        Some(size) if size > 0 => Ok(size),
        _ => Err("a size is at least 1MiB and at most 4095TiB".to_owned()),
    }
}

/// A size for people: exact below 10 GiB, above it with one digit behind the point.
pub(crate) fn show(mib: u64) -> String {
    if mib >= 1024 && mib.is_multiple_of(1024) {
        format!("{}GiB", mib / 1024)
    } else if mib >= EXACT_BELOW_MIB {
        format!("{}.{}GiB", mib / 1024, mib % 1024 * 10 / 1024)
    } else {
        format!("{mib}MiB")
    }
}

const EXACT_BELOW_MIB: u64 = 10 * 1024;

/// A number of bytes for people, with one digit behind the point.
pub(crate) fn show_bytes(bytes: u64) -> String {
    const UNITS: &[&str] = &["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let mut tenths = bytes.saturating_mul(10) / 1024;
    let mut unit = "KiB";
    for larger in UNITS.iter().skip(1) {
        if tenths < 10_240 {
            break;
        }
        tenths /= 1024;
        unit = larger;
    }
    format!("{}.{}{unit}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_read_in_mib() {
        for (text, expected) in [
            ("512", Some(512)),
            ("512MiB", Some(512)),
            ("512m", Some(512)),
            ("2GiB", Some(2048)),
            ("2 GB", Some(2048)),
            ("1t", Some(1024 * 1024)),
            ("0", None),
            ("", None),
            ("GiB", None),
            ("1.5GiB", None),
            ("-1", None),
            ("4096TiB", None),
            ("2KiB", None),
        ] {
            assert_eq!(parse(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn a_size_is_shown_in_its_largest_whole_unit() {
        let shown = [show(512), show(1536), show(4096), show(21_092)];
        assert_eq!(shown, ["512MiB", "1536MiB", "4GiB", "20.5GiB"]);
        assert_eq!(
            [show_bytes(12), show_bytes(1536), show_bytes(5 << 30)],
            ["12B", "1.5KiB", "5.0GiB"]
        );
    }
}
