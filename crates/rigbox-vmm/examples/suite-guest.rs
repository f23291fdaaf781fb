//! The first process of the guest that the driver suite boots: it loads the modules in `/modules`,
//! then answers lines on the agent's port, which is a virtio-serial port under QEMU and a vsock port
//! under Firecracker. Whoever listens on the host is a test.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Write},
    os::fd::{FromRawFd, OwnedFd},
    path::PathBuf,
    sync::Mutex,
    thread,
    time::Duration,
};

use rustix::{
    mount::{MountFlags, mount},
    system::{RebootCommand, finit_module, reboot},
};

fn main() {
    if let Err(error) = start() {
        say(&format!("the guest does not start: {error}"));
    }
    // The first process must not end.
    loop {
        thread::park();
    }
}

fn start() -> io::Result<()> {
    for (kind, target) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")] {
        mount(kind, target, kind, MountFlags::empty(), None)?;
    }
    let mut modules: Vec<PathBuf> =
        fs::read_dir("/modules")?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    modules.sort();
    for module in modules {
        if let Err(error) = finit_module(File::open(&module)?, c"", 0) {
            say(&format!("{}: {error}", module.display()));
        }
    }
    thread::spawn(|| talk(&serial_port()));
    if let Ok(listener) = vsock_listener() {
        thread::spawn(move || accept(&listener));
    }
    say("guest is up");
    Ok(())
}

/// The device of the port that has our name. Port and name appear some time after the module is
/// loaded, and never where there is none.
fn serial_port() -> File {
    loop {
        if let Some(port) = find_serial_port() {
            return port;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn find_serial_port() -> Option<File> {
    let ports = fs::read_dir("/sys/class/virtio-ports").ok()?;
    let port = ports.flatten().find(|port| {
        fs::read_to_string(port.path().join("name")).is_ok_and(|name| name.trim() == PORT_NAME)
    })?;
    let device = PathBuf::from("/dev").join(port.file_name());
    File::options().read(true).write(true).open(device).ok()
}

/// A serial port outlives its clients: while there is none, it reads as ended.
fn talk(port: &File) {
    loop {
        serve(port, port);
        thread::sleep(Duration::from_millis(10));
    }
}

fn accept(listener: &OwnedFd) {
    while let Ok(stream) = rustix::net::accept(listener) {
        let stream = File::from(stream);
        thread::spawn(move || serve(&stream, &stream));
    }
}

/// One line there, one line back, until the client is gone.
fn serve(reader: impl Read, mut writer: impl Write) {
    for line in BufReader::new(reader).lines() {
        let Ok(line) = line else { return };
        if writer.write_all(format!("{}\n", answer(&line)).as_bytes()).is_err() {
            return;
        }
    }
}

fn answer(line: &str) -> String {
    let file = |path| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    match line {
        "reboot" => format!("{:?}", reboot(RebootCommand::Restart)),
        "poweroff" => format!("{:?}", reboot(RebootCommand::PowerOff)),
        "panic" => format!("{:?}", fs::write("/proc/sysrq-trigger", "c")),
        "cmdline" => file("/proc/cmdline"),
        "mac" => file("/sys/class/net/eth0/address"),
        "write" => format!("{:?}", write_disk()),
        "flood" => {
            thread::spawn(|| {
                loop {
                    say("flood flood flood flood flood flood flood flood");
                }
            });
            "flooding".to_owned()
        }
        "recall" => MEMORY.lock().map(|memory| memory.clone()).unwrap_or_default(),
        _ => match (line.strip_prefix("remember "), MEMORY.lock()) {
            (Some(text), Ok(mut memory)) => {
                text.clone_into(&mut memory);
                "yes".to_owned()
            }
            _ => format!("echo {line}"),
        },
    }
}

/// 4 MiB, through to the disk.
fn write_disk() -> io::Result<()> {
    let mut disk = File::options().write(true).open("/dev/vda")?;
    for _ in 0..64 {
        disk.write_all(&[0x5a; 65_536])?;
    }
    disk.sync_all()
}

fn say(text: &str) {
    if let Ok(mut console) = File::options().write(true).open("/dev/console") {
        console.write_all(format!("{text}\n").as_bytes()).ok();
    }
}

#[expect(unsafe_code, reason = "neither std nor rustix has addresses of vsock")]
fn vsock_listener() -> io::Result<OwnedFd> {
    let address = libc::sockaddr_vm {
        svm_family: 40,
        svm_reserved1: 0,
        svm_port: AGENT_PORT,
        svm_cid: libc::VMADDR_CID_ANY,
        svm_zero: [0; 4],
    };
    // SAFETY: the call takes no pointers; the descriptor it returns is owned by nobody else.
    let socket = unsafe {
        match libc::socket(libc::AF_VSOCK, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) {
            -1 => return Err(io::Error::last_os_error()),
            fd => OwnedFd::from_raw_fd(fd),
        }
    };
    // SAFETY: the pointer is to a whole `sockaddr_vm`, whose size is given, and is not kept.
    let bound = unsafe {
        libc::bind(
            std::os::fd::AsRawFd::as_raw_fd(&socket),
            (&raw const address).cast(),
            ADDRESS_BYTES,
        )
    };
    if bound != 0 {
        return Err(io::Error::last_os_error());
    }
    rustix::net::listen(&socket, 8)?;
    Ok(socket)
}

/// What is remembered over a snapshot.
static MEMORY: Mutex<String> = Mutex::new(String::new());
const PORT_NAME: &str = "rigbox.agent.0";
const AGENT_PORT: u32 = 1024;
const ADDRESS_BYTES: libc::socklen_t = 16;
const _: () = assert!(size_of::<libc::sockaddr_vm>() == 16, "size of struct sockaddr_vm");
