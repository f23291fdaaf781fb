use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::world::{World, said};

/// An object store of a test's own, which `scripts/setup --dev` installs.
struct Store {
    server: Child,
    port: u16,
}

impl Store {
    fn start(world: &World) -> Self {
        let port = rigbox_test_ports::free().unwrap();
        let log = fs::File::create(world.path("store.log")).unwrap();
        let server = Command::new(program())
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let store = Self { server, port };
        world.wait("the object store", |_| TcpStream::connect(("127.0.0.1", port)).is_ok());
        store.ask("PUT", "/backups");
        store
    }

    /// What the store answers to a request past the product.
    fn ask(&self, method: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn run(&self, world: &World, words: &[&str]) -> (i32, String) {
        let mut command = world.rigbox(words);
        command
            .env("AWS_ACCESS_KEY_ID", "a-key")
            .env("AWS_SECRET_ACCESS_KEY", "a-secret-of-the-store")
            .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", self.port));
        said(&command.output().unwrap())
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }
}

fn program() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let tools = std::env::var_os("RIGBOX_TOOLS").map(PathBuf::from);
    let tools = tools.unwrap_or_else(|| cache.unwrap().join("rigbox/tools"));
    let program = tools.join("bin/moto_server");
    assert!(program.exists(), "{} is missing: scripts/setup --dev", program.display());
    program
}

#[test]
fn a_backup_goes_to_an_object_store_and_comes_back() {
    let mut world = World::new();
    world.up();
    let (code, said) = world.run(&["user", "add", "ann@example.com"]);
    assert_eq!(code, 0, "{said}");
    // Secrets that do not compress, so that there is more than one part.
    for n in 0..20 {
        let mut noise = vec![0; 1 << 20];
        fs::File::open("/dev/urandom").unwrap().read_exact(&mut noise).unwrap();
        fs::write(world.path("data/control").join(format!("noise-{n}")), noise).unwrap();
    }
    let store = Store::start(&world);
    let (code, said) = store.run(&world, &["backup", "s3://backups/rigbox/one"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("backed up to s3://backups/rigbox/one"), "{said}");
    let (code, said) = store.run(&world, &["backup", "s3://backups/rigbox/one"]);
    assert!(code == 1 && said.contains("there already"), "{said}");
    let (code, said) = store.run(&world, &["backup", "s3://backups/rigbox/", "--database-only"]);
    assert!(code == 0 && said.contains("s3://backups/rigbox/rigbox-"), "{said}");

    let other = World::new();
    fs::remove_dir_all(other.path("data")).unwrap();
    let (code, said) = store.run(&other, &["restore", "s3://backups/rigbox/one"]);
    assert_eq!(code, 0, "{said}");
    let noise = |world: &World| fs::read(world.path("data/control/noise-19")).unwrap();
    assert!(noise(&world) == noise(&other));

    // What fails leaves no parts and no object, and shows no secret.
    fs::write(world.path("data/control/too-large"), vec![7; 2 << 20]).unwrap();
    let (code, said) = store.run(&world, &["backup", "s3://backups/rigbox/failed"]);
    assert!(code == 1 && said.contains("too large"), "{said}");
    let uploads = store.ask("GET", "/backups?uploads");
    assert!(uploads.contains("ListMultipartUploadsResult"), "{uploads}");
    assert!(!uploads.contains("<UploadId>"), "{uploads}");
    let objects = store.ask("GET", "/backups?list-type=2");
    assert!(objects.contains("rigbox/one") && !objects.contains("failed"), "{objects}");
    let (code, said) = store.run(&world, &["backup", "s3://no-such-bucket/one"]);
    assert!(code == 1 && said.contains("NoSuchBucket"), "{said}");
    assert!(!said.contains("a-secret"), "{said}");
    let (code, said) = store.run(&other, &["restore", "--check", "s3://backups/none"]);
    assert!(code == 1 && said.contains("refuses"), "{said}");
    let (code, said) = world.run(&["backup", "s3://backups/one"]);
    assert!(code == 1 && said.contains("AWS_ACCESS_KEY_ID is not set"), "{said}");
}
