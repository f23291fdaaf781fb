//! Backups that are good, and all the ways in which one is not.

use std::{
    fs::File,
    io::Write as _,
    os::unix::fs::{FileExt as _, MetadataExt as _},
};

use rigbox_types::{Timestamp, host::CopyState};
use tar::{EntryType, Header};

use super::{
    document::{
        CONFIG, Contents, DATABASE, DiskThen, FORMAT, HEAD, HOST_ID, Head, MANIFEST, Manifest,
        PlatformIds, WorkspacePart,
    },
    pack::Pack,
    sparse, unpack,
};

const DISK_BYTES: u64 = 128 << 20;

fn head(format: u32) -> Vec<u8> {
    let head = Head { format, rigbox: "9.9.9".to_owned(), started_at: Timestamp::from_micros(0) };
    serde_json::to_vec(&head).unwrap()
}

fn manifest() -> Manifest {
    let at = Timestamp::from_micros(0);
    Manifest {
        format: FORMAT,
        rigbox: "0".to_owned(),
        contents: Contents::Everything,
        platform: PlatformIds { tag: "0000".to_owned(), host: "host-aaaaaaaa".parse().unwrap() },
        engine: "sqlite".to_owned(),
        started_at: at,
        consistent_at: at,
        finished_at: at,
        database_rows: 0,
        workspaces: vec![WorkspacePart {
            id: "ws-aaaaaaaa".parse().unwrap(),
            disk: CopyState::Frozen.into(),
            copied_at: Some(at),
            reason: None,
        }],
        parts: Vec::new(),
    }
}

/// A disk of 128 MiB with three megabytes of data that do not compress.
fn disk() -> File {
    let file = tempfile::tempfile().unwrap();
    file.set_len(DISK_BYTES).unwrap();
    let mut noise = vec![0; 1 << 20];
    for at in [0, 60 << 20, DISK_BYTES - (1 << 20)] {
        getrandom::fill(&mut noise).unwrap();
        file.write_all_at(&noise, at).unwrap();
    }
    file
}

fn good(disk: &File) -> Vec<u8> {
    let mut pack = Pack::new(Vec::new()).unwrap();
    pack.bytes(HEAD, &head(FORMAT)).unwrap();
    pack.bytes(CONFIG, b"").unwrap();
    pack.bytes(HOST_ID, b"host-aaaaaaaa").unwrap();
    pack.bytes("control/api-keys.key", &[7; 32]).unwrap();
    pack.bytes(DATABASE, &[b'x'; 100_000]).unwrap();
    pack.sparse("disks/ws-aaaaaaaa.ext4", disk).unwrap();
    pack.finish(&mut manifest()).unwrap()
}

fn read(bytes: &[u8]) -> anyhow::Result<Manifest> {
    unpack::read(bytes, &mut |_, _| Ok(()))
}

fn refused(bytes: &[u8]) -> String {
    format!("{:#}", read(bytes).unwrap_err())
}

#[test]
fn a_disk_comes_back_with_its_holes() {
    let disk = disk();
    let backup = good(&disk);
    assert!(backup.len() < 4 << 20, "{}", backup.len());
    let back = tempfile::tempfile().unwrap();
    let manifest = unpack::read(backup.as_slice(), &mut |entry, body| {
        if let Some(pieces) = &entry.pieces {
            back.set_len(entry.bytes)?;
            for piece in pieces {
                sparse::put_piece(&back, *piece, body)?;
            }
        }
        Ok(())
    });
    let manifest = manifest.unwrap();
    assert_eq!(manifest.parts.len(), 6);
    assert!(manifest.workspaces.iter().all(|workspace| workspace.disk == DiskThen::Frozen));
    assert!(back.metadata().unwrap().blocks() * 512 < 5 << 20, "the holes are there");
    let (mut one, mut other) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    for at in (0..DISK_BYTES).step_by(1 << 20) {
        disk.read_exact_at(&mut one, at).unwrap();
        back.read_exact_at(&mut other, at).unwrap();
        assert!(one == other, "differs at {at}");
    }
}

#[test]
fn other_tools_take_a_backup_apart() {
    let folder = tempfile::tempdir().unwrap();
    let disk = disk();
    std::fs::write(folder.path().join("backup"), good(&disk)).unwrap();
    let done = std::process::Command::new("sh")
        .args(["-c", "zstd -dc backup | tar -x"])
        .current_dir(folder.path())
        .status();
    assert!(done.unwrap().success());
    let back = File::open(folder.path().join("disks/ws-aaaaaaaa.ext4")).unwrap();
    let about = back.metadata().unwrap();
    assert_eq!(about.len(), DISK_BYTES);
    assert!(about.blocks() * 512 < 5 << 20, "the holes are there");
    let (mut one, mut other) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    for at in [0, 60 << 20, DISK_BYTES - (1 << 20)] {
        disk.read_exact_at(&mut one, at).unwrap();
        back.read_exact_at(&mut other, at).unwrap();
        assert!(one == other, "differs at {at}");
    }
}

#[test]
fn a_backup_that_is_cut_off_is_refused_wherever() {
    let backup = good(&disk());
    for length in [0, 10, 1000, backup.len() / 2, backup.len() - 1] {
        let said = refused(&backup[..length]);
        assert!(said.contains("cut off") || said.contains("not a backup"), "{length}: {said}");
    }
    assert!(refused(&backup[..backup.len() / 2]).contains("disks/ws-aaaaaaaa.ext4"));
}

#[test]
fn one_flipped_bit_is_found_wherever_it_is() {
    let backup = good(&disk());
    read(&backup).unwrap();
    for at in (0..backup.len()).step_by(backup.len() / 40).chain([backup.len() - 1]) {
        let mut flipped = backup.clone();
        flipped[at] ^= 0x10;
        assert!(read(&flipped).is_err(), "at {at}");
    }
    let mut flipped = backup.clone();
    let middle = backup.len() / 2;
    flipped[middle] ^= 1;
    let said = refused(&flipped);
    assert!(said.contains("disks/ws-aaaaaaaa.ext4"), "{said}");
    let behind = [backup.as_slice(), b"more"].concat();
    assert!(read(&behind).is_err(), "something behind its end");
}

/// A tar that anybody could write, with a checksum that is right.
fn forged(entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
    let mut out = zstd::Encoder::new(Vec::new(), 1).unwrap();
    for (name, kind, bytes) in entries {
        let mut header = Header::new_ustar();
        header.as_ustar_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(u64::try_from(bytes.len()).unwrap());
        header.set_mode(0o600);
        header.set_cksum();
        out.write_all(header.as_bytes()).unwrap();
        out.write_all(bytes).unwrap();
        out.write_all(&vec![0; bytes.len().next_multiple_of(512) - bytes.len()]).unwrap();
    }
    out.write_all(&[0; 1024]).unwrap();
    out.finish().unwrap()
}

fn begun(more: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
    let head = head(FORMAT);
    forged(&[&[(HEAD, EntryType::Regular, head.as_slice())], more].concat())
}

#[test]
fn what_is_no_backup_of_ours_is_refused_before_it_is_believed() {
    let file = EntryType::Regular;
    for (archive, words) in [
        (begun(&[("../../etc/passwd", file, b"x")]), "no name of a part"),
        (begun(&[("/etc/passwd", file, b"x")]), "no name of a part"),
        (begun(&[("control/../../x", file, b"x")]), "no name of a part"),
        (begun(&[("control/key", EntryType::Symlink, b"")]), "no file"),
        (begun(&[("control/key", EntryType::Link, b"")]), "no file"),
        (begun(&[("control", EntryType::Directory, b"")]), "no file"),
        (begun(&[("control/null", EntryType::Char, b"")]), "no file"),
        (begun(&[("control/key", file, b"x")]), "no manifest"),
        (forged(&[("control/key", file, b"x")]), "does not begin"),
        (forged(&[]), "no manifest"),
        (begun(&[(MANIFEST, file, b"{}")]), "read the manifest"),
        (begun(&[(MANIFEST, file, b"{}"), ("control/key", file, b"x")]), "behind its manifest"),
        (b"plain text, and long enough to be read as something".to_vec(), "not a backup"),
    ] {
        let said = refused(&archive);
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn a_format_of_the_future_is_said_to_be_one() {
    let head = head(FORMAT + 1);
    let said = refused(&forged(&[(HEAD, EntryType::Regular, head.as_slice())]));
    for words in ["format 2", "rigbox 9.9.9", "hint: "] {
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn a_manifest_that_says_something_else_is_refused() {
    let mut pack = Pack::new(Vec::new()).unwrap();
    let (head, database) = (head(FORMAT), vec![b'x'; 100_000]);
    let small: [(&str, &[u8]); 5] = [
        (HEAD, &head),
        (CONFIG, b""),
        (HOST_ID, b"host-aaaaaaaa"),
        ("control/api-keys.key", &[7; 32]),
        (DATABASE, &database),
    ];
    for (name, bytes) in small {
        pack.bytes(name, bytes).unwrap();
    }
    let mut manifest = Manifest { workspaces: Vec::new(), ..manifest() };
    let whole = read(&pack.finish(&mut manifest).unwrap()).unwrap();
    let with = |change: &dyn Fn(&mut Manifest)| {
        let mut manifest = whole.clone();
        change(&mut manifest);
        let text = serde_json::to_vec(&manifest).unwrap();
        let parts = small.iter().map(|(name, bytes)| (*name, EntryType::Regular, *bytes));
        let last = (MANIFEST, EntryType::Regular, text.as_slice());
        read(&forged(&parts.chain([last]).collect::<Vec<_>>()))
    };
    with(&|_| ()).unwrap();
    let of_a_disk = WorkspacePart {
        id: "ws-aaaaaaaa".parse().unwrap(),
        disk: DiskThen::AtRest,
        copied_at: None,
        reason: None,
    };
    type Change<'c> = &'c dyn Fn(&mut Manifest);
    let changes: [(&str, Change<'_>); 7] = [
        ("another sum", &|manifest| manifest.parts[3].sha256 = "00".repeat(32)),
        ("another size", &|manifest| manifest.parts[3].bytes += 1),
        ("a part less", &|manifest| drop(manifest.parts.remove(3))),
        ("a part twice", &|manifest| manifest.parts.push(manifest.parts[3].clone())),
        ("another name", &|manifest| manifest.parts[3].name = "../x".to_owned()),
        ("a disk that is not there", &|manifest| manifest.workspaces.push(of_a_disk.clone())),
        ("another format", &|manifest| manifest.format = 7),
    ];
    for (what, change) in changes {
        assert!(with(change).is_err(), "{what}");
    }
}
