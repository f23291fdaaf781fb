use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::Signal;
use serde_json::Value;

use crate::world::{World, mode, said};

/// A world whose data directory is empty.
fn empty_world() -> World {
    let world = World::new();
    fs::remove_dir_all(world.path("data")).unwrap();
    world
}

/// Runs a command that must succeed; what it printed on standard output.
fn done(world: &World, words: &[&str]) -> String {
    let output = world.rigbox(words).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

fn refused(world: &World, words: &[&str]) -> String {
    let (code, said) = world.run(words);
    assert_eq!(code, 1, "{words:?}: {said}");
    said
}

/// A running platform with an account, and its backup.
fn backed_up() -> (World, PathBuf) {
    let mut world = World::new();
    world.up();
    done(&world, &["user", "add", "ann@example.com", "--plan", "pro"]);
    fs::create_dir(world.path("backups")).unwrap();
    let folder = world.path("backups");
    done(&world, &["backup", folder.to_str().unwrap()]);
    let file = fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    (world, file)
}

fn names(folder: &Path) -> Vec<String> {
    let all = fs::read_dir(folder).unwrap();
    all.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_platform_goes_on_where_it_was_backed_up() {
    let (old, file) = backed_up();
    let name = file.file_name().unwrap().to_str().unwrap().to_owned();
    assert!(name.starts_with("rigbox-") && name.ends_with("Z.tar.zst"), "{name}");
    assert_eq!(mode(&file), 0o600);
    let file = file.to_str().unwrap();
    // What came after the backup is not in it.
    done(&old, &["user", "add", "late@example.com"]);
    let again = refused(&old, &["backup", file]);
    assert!(again.contains("there already") && again.contains("--force"), "{again}");

    let mut new = empty_world();
    let checked: Value =
        serde_json::from_str(&done(&new, &["restore", "--check", "--json", file])).unwrap();
    assert_eq!(checked["contents"], "everything", "{checked}");
    assert!(!new.path("data").exists(), "a check makes nothing");
    let restored: Value = serde_json::from_str(&done(&new, &["restore", "--json", file])).unwrap();
    assert_eq!(restored["event"], "restored", "{restored}");
    for (name, expected) in [
        ("control", 0o700),
        ("control/admin.key", 0o600),
        ("control/api-keys.key", 0o600),
        ("control/rigbox.db", 0o600),
        ("host-id", 0o644),
    ] {
        assert_eq!(mode(&new.path("data").join(name)), expected, "{name}");
    }
    let same = |name: &str| {
        fs::read(old.path("data").join(name)).unwrap()
            == fs::read(new.path("data").join(name)).unwrap()
    };
    for name in
        ["host-id", "rigbox.toml", "control/admin.key", "control/api-keys.key", "control/audit.key"]
    {
        assert!(same(name), "{name}");
    }
    assert!(!same("instance"), "kernel objects of two platforms have two tags");
    assert!(done(&new, &["audit", "verify"]).contains("is whole"));

    // Both run beside each other on one machine, as in a drill.
    new.up();
    let listed = done(&new, &["user", "ls"]);
    assert!(listed.contains("ann@example.com") && !listed.contains("late@example.com"), "{listed}");
    let record = done(&new, &["audit", "export"]);
    for action in ["user_create", "platform_backup", "platform_restore"] {
        assert!(record.contains(&format!("\"action\":\"{action}\"")), "{action}: {record}");
    }
    assert!(done(&new, &["audit", "verify"]).contains("is whole"));
    assert_eq!(old.get("/capacity"), 200, "the old one does not notice");
}

#[test]
fn a_platform_is_restored_into_an_empty_directory_only() {
    let (old, file) = backed_up();
    let file = file.to_str().unwrap();
    let said = refused(&old, &["restore", file]);
    assert!(said.contains("is not empty") && said.contains("hint: "), "{said}");
    assert_eq!(old.get("/capacity"), 200);

    // One that was killed is nobody's platform until it is repeated.
    let mut new = empty_world();
    done(&new, &["restore", file]);
    fs::write(new.path("data/restoring"), file).unwrap();
    for words in [&["up"][..], &["backup", "-"]] {
        let said = refused(&new, words);
        assert!(said.contains("was cut off") && said.contains("hint: "), "{said}");
    }
    fs::write(new.path("data/control/half"), "").unwrap();
    done(&new, &["restore", file]);
    assert!(!new.path("data/control/half").exists() && !new.path("data/restoring").exists());
    new.up();
}

#[test]
fn what_is_no_good_backup_leaves_nothing_behind() {
    let (_old, file) = backed_up();
    let good = fs::read(&file).unwrap();
    let new = empty_world();
    let bad = new.path("bad");
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    for (bytes, words) in [
        (good[..good.len() / 2].to_vec(), "cut off"),
        (flipped, "damaged"),
        (b"nothing of the kind".to_vec(), "not a backup"),
    ] {
        fs::write(&bad, bytes).unwrap();
        for verb in [&["restore"][..], &["restore", "--check"]] {
            let said = refused(&new, &[verb, &[bad.to_str().unwrap()]].concat());
            assert!(said.contains(words), "{words}: {said}");
        }
        assert!(!new.path("data").exists(), "{words}");
    }
    let gone = refused(&new, &["restore", "/nowhere/backup"]);
    assert!(gone.contains("open /nowhere/backup"), "{gone}");
}

/// A file system of so many bytes; gone when dropped.
struct Small(PathBuf);

impl Small {
    fn mount(path: PathBuf, bytes: &str) -> Self {
        fs::create_dir_all(&path).unwrap();
        let options = format!("size={bytes},mode=0755");
        let mount = ["-t", "tmpfs", "-o", &options, "tmpfs"];
        assert!(Command::new("mount").args(mount).arg(&path).status().unwrap().success());
        Self(path)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        Command::new("umount").arg(&self.0).status().unwrap();
    }
}

#[test]
fn a_full_disk_leaves_no_half_backup_and_no_half_platform() {
    let (old, file) = backed_up();
    let small = Small::mount(old.path("small"), "4k");
    fs::write(small.0.join("full"), [1; 4096]).unwrap();
    let said = refused(&old, &["backup", small.0.to_str().unwrap()]);
    assert!(said.contains("No space left"), "{said}");
    assert_eq!(names(&small.0), ["full"]);

    let new = empty_world();
    let small = Small::mount(new.path("data"), "16k");
    let said = refused(&new, &["restore", file.to_str().unwrap()]);
    assert!(said.contains("needs") && said.contains("--data"), "{said}");
    assert_eq!(names(&small.0), Vec::<String>::new());
    drop(small);
    // Enough for the parts, and not for the database that is made of them.
    let small = Small::mount(new.path("data"), "300k");
    let said = refused(&new, &["restore", file.to_str().unwrap()]);
    assert!(said.contains("error: "), "{said}");
    assert_eq!(names(&small.0), Vec::<String>::new(), "{said}");
}

#[test]
fn a_backup_that_is_killed_leaves_no_file_and_no_process() {
    let (old, _) = backed_up();
    let folder = old.path("killed");
    fs::create_dir(&folder).unwrap();
    let mut backup = old.rigbox(&["backup", folder.to_str().unwrap()]);
    // The stand-in has the copies and does not say so.
    let mut backup = backup.env("RIGBOX_STAND_IN", "copy").spawn().unwrap();
    let copying =
        |world: &World| world.processes().iter().any(|(_, command)| command.contains("copy-disks"));
    old.wait("the copies of disks", copying);
    old.signal(backup.id(), Signal::KILL);
    backup.wait().unwrap();
    old.wait("the end of the copies", |world| !copying(world));
    assert_eq!(names(&folder), Vec::<String>::new());
}

#[test]
fn a_backup_is_a_stream_that_other_tools_read() {
    let (old, _) = backed_up();
    let output = old.rigbox(&["backup", "-", "--database-only"]).output().unwrap();
    assert!(output.status.success());
    let file = old.path("stream");
    fs::write(&file, &output.stdout).unwrap();
    let listed =
        Command::new("sh").args(["-c", "zstd -dc \"$0\" | tar -t"]).arg(&file).output().unwrap();
    let (code, listed) = said(&listed);
    assert_eq!(code, 0, "{listed}");
    let parts: Vec<_> = listed.lines().collect();
    assert_eq!((parts[0], parts[parts.len() - 1]), ("rigbox-backup.json", "manifest.json"));
    let checked = done(&old, &["restore", "--check", file.to_str().unwrap()]);
    assert!(checked.contains("no disks"), "{checked}");
    let twice = refused(&old, &["restore", "--check", "-"]);
    assert!(twice.contains("read twice"), "{twice}");
}

#[test]
fn a_configuration_is_checked_with_everything_it_names() {
    let world = World::new();
    let (code, said) = world.run(&["config", "check"]);
    assert!(code == 0 && said.contains("is in order"), "{said}");
    let text = "[api]\nlisten = \"192.0.2.7:1\"\n[host]\ndriver = \"qemu\"\nqemu = \"/nowhere\"\n\
        [control]\ndatabase_url_file = \"/nowhere/url\"\n";
    fs::write(world.path("data/rigbox.toml"), text).unwrap();
    let output = world.rigbox(&["config", "check", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let keys: Vec<_> = answer["findings"].as_array().unwrap().iter().map(|f| &f["key"]).collect();
    assert_eq!(answer["ok"], false);
    for key in ["api.listen", "control.database_url_file", "host.qemu"] {
        assert!(keys.iter().any(|found| *found == key), "{key}: {answer}");
    }
    fs::write(world.path("data/rigbox.toml"), "[hots]\n").unwrap();
    let output = world.rigbox(&["config", "check", "--json"]).output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&answer["findings"][0]["key"], &answer["findings"][0]["line"]),
        (&"hots".into(), &1.into())
    );
}
