//! File calls with the rights of a user instead of root's.
//! Linux keeps these rights per thread; the C library's functions for the other ids change all
//! threads, so the system calls are made directly.

#![expect(unsafe_code, reason = "no safe crate sets the file system ids of one thread")]

use std::io;

use crate::agent::users::User;

/// While it lives, this thread's file calls are those of a user. It is bound to the thread.
struct Rights {
    _bound: std::marker::PhantomData<*const ()>,
}

/// Runs `act` with the file rights of `user` on this thread. An agent that is not root keeps its
/// own. Must not be called from a task that may move or wait: `act` is not async for this reason.
pub(crate) fn with_rights_of<T>(user: &User, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let _rights = Rights::take(user)?;
    act()
}

impl Rights {
    fn take(user: &User) -> io::Result<Self> {
        let rights = Self { _bound: std::marker::PhantomData };
        // SAFETY: reads an id; cannot fail.
        if unsafe { libc::geteuid() } == 0 && user.uid != 0 {
            set(user.uid, user.gid, &user.groups)?;
        }
        Ok(rights)
    }
}

impl Drop for Rights {
    fn drop(&mut self) {
        // SAFETY: reads an id; cannot fail.
        if unsafe { libc::geteuid() } == 0 {
            // The thread was root before, and is root again; nothing can refuse that.
            set(0, 0, &[]).expect("root may become root");
        }
    }
}

fn set(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    // Root's own groups are not needed: what they would permit, the capability does. Setting them
    // needs the capability that a change of the file system uid keeps.
    // SAFETY: the pointer is valid for the given number of group ids; the other two calls take
    // numbers, answer the former value and cannot fail for root.
    unsafe {
        if libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        libc::syscall(libc::SYS_setfsgid, gid);
        libc::syscall(libc::SYS_setfsuid, uid);
    }
    // The calls do not tell whether they worked; asking again with an impossible id does.
    // SAFETY: takes a number, changes nothing, answers the current value.
    let current = unsafe { libc::syscall(libc::SYS_setfsuid, -1) };
    if current == libc::c_long::from(uid) {
        Ok(())
    } else {
        Err(io::ErrorKind::PermissionDenied.into())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_user_cannot_read_what_root_can() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        fs::write(&secret, "x").unwrap();
        fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        if fs::metadata("/proc/self")
            .is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) != 0)
        {
            return; // Only root can take another's rights, and only root's tests can see it.
        }
        let user = User {
            name: "nobody".to_owned(),
            uid: 65_534,
            gid: 65_534,
            groups: vec![100],
            home: "/".to_owned(),
            shell: "/bin/sh".to_owned(),
        };
        let refused = with_rights_of(&user, || fs::read(&secret)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(fs::read(&secret).unwrap(), b"x");
    }
}
