//! Users of the guest, read from `/etc/passwd` and `/etc/group` by ourselves: the agent is static,
//! and a static program cannot ask the C library for what plug-ins know.

use super::root::Root;

/// The user of every workspace.
pub(crate) const DEFAULT_USER: &str = "developer";

/// Most supplementary groups, as in Linux before 2.6.4; images have fewer than ten.
const GROUPS_MAX: usize = 32;

/// A user as programs run for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Supplementary groups.
    pub(crate) groups: Vec<u32>,
    /// As the guest sees it.
    pub(crate) home: String,
    pub(crate) shell: String,
}

impl User {
    /// A user by name.
    pub(crate) fn find(root: &Root, name: &str) -> Option<Self> {
        let passwd = root.read_or_empty("/etc/passwd");
        let user = passwd.lines().find_map(|line| parse(line).filter(|user| user.name == name))?;
        Some(user.with_groups(&root.read_or_empty("/etc/group")))
    }

    /// Who programs run for when nobody is named: `developer`, or root where there is none.
    pub(crate) fn default_of(root: &Root) -> Self {
        Self::find(root, DEFAULT_USER)
            .or_else(|| Self::find(root, "root"))
            .unwrap_or_else(Self::superuser)
    }

    /// The name of a user id.
    pub(crate) fn name_of(passwd: &str, uid: u32) -> Option<String> {
        let user = passwd.lines().find_map(|line| parse(line).filter(|user| user.uid == uid));
        user.map(|user| user.name)
    }

    /// Root of a guest that has no user data base.
    fn superuser() -> Self {
        Self {
            name: "root".to_owned(),
            uid: 0,
            gid: 0,
            groups: Vec::new(),
            home: "/root".to_owned(),
            shell: "/bin/sh".to_owned(),
        }
    }

    fn with_groups(mut self, group: &str) -> Self {
        let has_user = |members: &str| members.split(',').any(|member| member == self.name);
        let groups = group.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let gid = fields.nth(2)?.parse().ok()?;
            fields.next().filter(|members| has_user(members)).map(|_| gid)
        });
        let groups: Vec<u32> = groups.take(GROUPS_MAX).collect();
        self.groups = groups;
        self
    }
}

fn parse(line: &str) -> Option<User> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| !name.is_empty())?;
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    let home = fields.nth(1).filter(|home| home.starts_with('/')).unwrap_or("/");
    let shell = fields.next().filter(|shell| shell.starts_with('/')).unwrap_or("/bin/sh");
    Some(User {
        name: name.to_owned(),
        uid,
        gid,
        groups: Vec::new(),
        home: home.to_owned(),
        shell: shell.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_its_own_and_its_further_groups() {
        let user = parse("developer:x:1000:1001:,,,:/home/developer:/bin/bash").unwrap();
        let user = user.with_groups(
            "sudo:x:27:developer\nbroken\nadm:x:4:other,developer\nusers:x:100:developers\nx:x:y:developer",
        );
        assert_eq!((user.uid, user.gid, user.groups.as_slice()), (1000, 1001, &[27, 4][..]));
        assert_eq!((user.home.as_str(), user.shell.as_str()), ("/home/developer", "/bin/bash"));
    }

    #[test]
    fn a_broken_line_is_nobody() {
        for line in ["", "a", "a:x", "a:x:y:0::/:/bin/sh", ":x:0:0::/:/bin/sh", "+::::::"] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
