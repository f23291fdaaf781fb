//! A network of the browser's own, in which nothing but its own `lo` ever is: Chromium breaks off
//! whatever it does when any interface of its network comes or goes, as workspaces' do all the time.
//! Invariant: what it reaches of the machine are the ports that it was given, at the same numbers.

use std::{
    io,
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    process::{Child, Command},
    thread,
};

use anyhow::{Context, Result, ensure};
use nix::sched::{CloneFlags, unshare};

/// Starts a program in a network of its own, from where `ports` of the machine's 127.0.0.1 are reached
/// as if they were there.
///
/// # Errors
/// Where the kernel refuses a network, which is root's to make, or the program does not start.
pub(super) fn start(mut command: Command, ports: &[u16]) -> Result<Child> {
    let wanted = ports.to_vec();
    // A thread of its own: sockets and processes belong to the network of the thread that makes them.
    let made = thread::spawn(move || -> Result<_> {
        unshare(CloneFlags::CLONE_NEWNET).context("make a network for a browser")?;
        let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
        ensure!(up.context("run ip")?.success(), "its lo does not come up");
        let listen = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port));
        let doors: io::Result<Vec<_>> = wanted.iter().map(listen).collect();
        let child = command.spawn().context("start chromium")?;
        Ok((doors.context("listen in a browser's network")?, child))
    });
    let (doors, child) = made.join().expect("does not panic")?;
    for (door, port) in doors.into_iter().zip(ports.iter().copied()) {
        // Lives as long as the test's process: nobody outside of that network can reach it.
        thread::spawn(move || {
            for visitor in door.incoming().map_while(Result::ok) {
                thread::spawn(move || carry(visitor, port));
            }
        });
    }
    Ok(child)
}

/// Both ways until both have ended. A machine's port that is closed is a connection that ends at once.
fn carry(visitor: TcpStream, port: u16) -> io::Result<()> {
    let machine = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    let (from, to) = (visitor.try_clone()?, machine.try_clone()?);
    let there = thread::spawn(move || pass(&from, &to));
    pass(&machine, &visitor);
    there.join().ok();
    Ok(())
}

fn pass(mut from: &TcpStream, mut to: &TcpStream) {
    // However it ended: the other side is told that nothing more comes.
    io::copy(&mut from, &mut to).ok();
    to.shutdown(Shutdown::Write).ok();
}
