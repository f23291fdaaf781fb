use std::{fs, path::Path};

use tokio::process::Command;

use crate::world::{World, good, output};

fn some_bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at * 7 % 251).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn sftp_puts_gets_and_lists() {
    let world = World::new().await;
    let (here, there, back) = (world.path("here"), world.path("there"), world.path("back"));
    fs::write(&here, some_bytes(3_000_000)).unwrap();
    let batch = format!(
        "put {} {}\nls -l {}\nget {} {}\n",
        here.display(),
        there.display(),
        there.display(),
        there.display(),
        back.display()
    );
    fs::write(world.path("batch"), batch).unwrap();
    let mut sftp = world.tool("sftp");
    let said = good(output(sftp.arg("-b").arg(world.path("batch")).arg("work")).await);
    assert!(said.contains("3000000"), "{said}");
    assert!(fs::read(&back).unwrap() == fs::read(&here).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn scp_copies_both_ways_with_both_protocols() {
    let world = World::new().await;
    let tree = world.path("tree");
    fs::create_dir_all(tree.join("deep/er")).unwrap();
    fs::write(tree.join("deep/er/file"), some_bytes(2_000_000)).unwrap();
    fs::write(tree.join("empty"), []).unwrap();
    for protocol in ["-O", "-s"] {
        let (there, back) =
            (world.path(&format!("to{protocol}")), world.path(&format!("b{protocol}")));
        let to = format!("work:{}", there.display());
        good(output(world.tool("scp").args([protocol, "-rpq"]).arg(&tree).arg(&to)).await);
        good(output(world.tool("scp").args([protocol, "-rpq"]).arg(&to).arg(&back)).await);
        same(&tree, &back).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s03_rsync_keeps_a_tree_of_many_files_the_same() {
    const FOLDERS: usize = 100;
    const FILES: usize = 50;
    let world = World::new().await;
    let (tree, there) = (world.path("tree"), world.path("there"));
    for folder in 0..FOLDERS {
        let folder = tree.join(format!("{folder}"));
        fs::create_dir_all(&folder).unwrap();
        for file in 0..FILES {
            fs::write(folder.join(format!("{file}")), some_bytes(file * 40)).unwrap();
        }
    }
    fs::create_dir_all(there.join("stale/folder")).unwrap();
    fs::write(there.join("stale/folder/file"), "x").unwrap();
    let to = format!("work:{}/", there.display());
    let from = format!("{}/", tree.display());
    let dry = good(rsync(&world, &["-a", "--delete", "--dry-run", "--stats", &from, &to]).await);
    assert!(dry.contains("Number of regular files transferred: 5,000"), "{dry}");
    assert!(there.join("stale").exists());
    good(rsync(&world, &["-a", "--delete", &from, &to]).await);
    same(&tree, &there).await;
    fs::remove_dir_all(tree.join("7")).unwrap();
    fs::write(tree.join("8/0"), "changed").unwrap();
    good(rsync(&world, &["-az", "--delete", "--checksum", &from, &to]).await);
    same(&tree, &there).await;
    let back = world.path("back");
    good(rsync(&world, &["-a", &to, &format!("{}/", back.display())]).await);
    same(&tree, &back).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn git_clones_fetches_and_pushes() {
    let world = World::new().await;
    let (origin, clone) = (world.path("origin.git"), world.path("clone"));
    git(&world, world.folder.path(), &["init", "-q", "--bare", "-b", "main", "origin.git"]).await;
    let url = format!("ssh://work{}", origin.display());
    git(&world, world.folder.path(), &["clone", "-q", &url, "clone"]).await;
    git(&world, &clone, &["checkout", "-q", "-B", "main"]).await;
    for number in 0..20 {
        fs::write(clone.join(format!("file-{number}")), some_bytes(200_000 + number)).unwrap();
    }
    git(&world, &clone, &["add", "."]).await;
    git(&world, &clone, &["commit", "-q", "-m", "files"]).await;
    git(&world, &clone, &["push", "-q", "origin", "main"]).await;
    git(&world, world.folder.path(), &["clone", "-q", &url, "again"]).await;
    same(&clone.join("file-7"), &world.path("again/file-7")).await;
    let said = git(&world, &clone, &["fetch", "--dry-run", "origin", "main"]).await;
    assert!(!said.contains("fatal"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn s03_a_client_that_says_all_at_once_is_heard() {
    let world = World::new().await;
    let file = world.path("file");
    fs::write(&file, "contents").unwrap();
    let mut sftp = world.tool("sftp");
    fs::write(world.path("batch"), format!("ls {}\n", file.display())).unwrap();
    let said = output(sftp.args(["-q", "-b"]).arg(world.path("batch")).arg("work")).await;
    assert!(good(said).contains("file"));
    let mut shell = Command::new("sh");
    let script = format!("printf 'echo heard; exit 5' | {} -T work sh", world.ssh());
    let said = output(shell.arg("-c").arg(script)).await;
    assert_eq!((said.status.code(), said.stdout.as_slice()), (Some(5), b"heard\n".as_slice()));
}

async fn rsync(world: &World, arguments: &[&str]) -> std::process::Output {
    output(Command::new("rsync").args(["-e", &world.ssh()]).args(arguments)).await
}

async fn git(world: &World, folder: &Path, arguments: &[&str]) -> String {
    let mut git = Command::new("git");
    git.args(["-c", "user.name=T", "-c", "user.email=t@example.com"]).args(arguments);
    git.current_dir(folder).env("GIT_SSH_COMMAND", world.ssh());
    git.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    good(output(&mut git).await)
}

/// That two files or trees have the same contents.
async fn same(one: &Path, other: &Path) {
    good(output(Command::new("diff").args(["-rq"]).arg(one).arg(other)).await);
}
