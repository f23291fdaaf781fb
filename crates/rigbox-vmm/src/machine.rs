//! Facts about this machine, from `/proc`.

use std::fs;

/// The processor's name and microcode, as far as `/proc/cpuinfo` tells.
pub(crate) fn cpu_model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name| cpuinfo_field(&text, name).unwrap_or("unknown").to_owned();
    format!("{} microcode {}", field("model name"), field("microcode"))
}

/// The release of the running kernel.
pub(crate) fn kernel_release() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}

/// What this boot of the machine is called.
pub(crate) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// The frequency of the time-stamp counter, in kHz. The kernel derives `bogomips` from it: it is
/// twice the frequency in MHz. ("cpu MHz" is the core's momentary one.)
pub(crate) fn tsc_khz() -> Option<u64> {
    parse_tsc_khz(&fs::read_to_string("/proc/cpuinfo").ok()?)
}

fn parse_tsc_khz(cpuinfo: &str) -> Option<u64> {
    let (whole, hundredths) = cpuinfo_field(cpuinfo, "bogomips")?.split_once('.')?;
    if hundredths.len() != 2 {
        return None;
    }
    let hundredths: u64 = format!("{whole}{hundredths}").parse().ok()?;
    // 1/100 MHz is 10 kHz, and half of it is the frequency.
    Some(hundredths * 10 / 2)
}

fn cpuinfo_field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == name)
        .map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_runs_at_half_the_bogomips() {
        let text = "processor\t: 0\nmodel name\t: X\ncpu MHz\t\t: 800.0\nbogomips\t: 5192.27\n";
        assert_eq!(parse_tsc_khz(text), Some(2_596_135));
        assert_eq!(parse_tsc_khz("bogomips : many\n"), None);
        assert_eq!(parse_tsc_khz(""), None);
    }
}
