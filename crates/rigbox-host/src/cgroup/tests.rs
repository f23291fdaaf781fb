use rigbox_types::host::Speed;

use super::*;
use crate::config;

/// The cgroup of one test; gone afterwards.
struct World(Cgroups);

impl World {
    fn new(name: &str) -> Self {
        let parent = format!("rigbox-test-{}-{name}", std::process::id());
        Self(Cgroups::open(parent, None).unwrap())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for name in self.0.names().unwrap() {
            self.0.remove(&name).unwrap();
        }
        self.0.remove_parent().unwrap();
    }
}

#[test]
fn a_cgroup_is_made_limited_entered_and_removed_with_what_is_in_it() {
    let world = World::new("life");
    let workspace = WorkspaceId::from_random([3; 8]);
    let limits = CgroupNote { vcpus: 2, memory_mib: 64 };
    world.0.make(&workspace, limits).unwrap();
    world.0.make(&workspace, CgroupNote { memory_mib: 128, ..limits }).unwrap();
    let (version, root) = world.0.hierarchies.of(Controller::Memory).unwrap();
    let name = match version {
        Version::One => "memory.limit_in_bytes",
        Version::Two => "memory.max",
    };
    let path = root.join(&world.0.parent).join(workspace.as_str()).join(name);
    assert_eq!(fs::read_to_string(path).unwrap().trim(), (128 * 1024 * 1024).to_string());

    let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    world.0.enter(&workspace, child.id()).unwrap();
    assert_eq!(world.0.processes(workspace.as_str()), [child.id()]);
    assert_eq!(world.0.names().unwrap(), [workspace.as_str()]);
    world.0.clear(&workspace).unwrap();
    assert!(!child.wait().unwrap().success());
    let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    world.0.enter(&workspace, child.id()).unwrap();
    // A zombie is in no cgroup, so the removal does not wait for us to reap it.
    world.0.remove(workspace.as_str()).unwrap();
    assert!(!child.wait().unwrap().success());
    world.0.remove(workspace.as_str()).unwrap();
    assert!(world.0.names().unwrap().is_empty());
}

#[test]
fn a_process_that_is_not_in_the_cgroup_any_more_is_not_ended() {
    let world = World::new("left");
    let workspace = WorkspaceId::from_random([4; 8]);
    world.0.make(&workspace, CgroupNote { vcpus: 1, memory_mib: 64 }).unwrap();
    let (_, root) = world.0.hierarchies.of(Controller::Memory).unwrap();
    let dir = root.join(&world.0.parent).join(workspace.as_str());
    let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    end(&dir, child.id()).unwrap();
    assert_eq!(child.try_wait().unwrap(), None, "its number was another's");
    fs::write(dir.join("cgroup.procs"), child.id().to_string()).unwrap();
    end(&dir, child.id()).unwrap();
    assert!(!child.wait().unwrap().success());
    end(&dir, child.id()).unwrap();
}

#[test]
fn one_workspace_does_not_take_the_whole_disk_in_either_version() {
    let device = rustix::fs::makedev(8, 1);
    let (one, two) = io_values(device, &config::Limits::default().with(Speed::default()));
    let written: Vec<String> = one.iter().map(|(name, value)| format!("{name} {value}")).collect();
    let expected = [
        "blkio.throttle.read_bps_device 8:1 200000000",
        "blkio.throttle.write_bps_device 8:1 200000000",
        "blkio.throttle.read_iops_device 8:1 5000",
        "blkio.throttle.write_iops_device 8:1 5000",
    ];
    assert_eq!(written, expected);
    let line = "8:1 rbps=200000000 wbps=200000000 riops=5000 wiops=5000";
    assert_eq!(two, [("io.max", line.to_owned())]);
    // What a VM had before goes when the next one has no limit.
    let (one, two) = io_values(device, &IoLimits { disk_bps: Some(7), ..IoLimits::default() });
    assert_eq!(one[2], ("blkio.throttle.read_iops_device", "8:1 0".to_owned()));
    assert_eq!(two, [("io.max", "8:1 rbps=7 wbps=7 riops=max wiops=max".to_owned())]);
}
