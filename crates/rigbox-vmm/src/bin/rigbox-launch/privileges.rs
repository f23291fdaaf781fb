//! Gives up what the VMM does not need.

use rigbox_vmm::launch::{Identity, Limits};
use rustix::{
    process::{Gid, Resource, Rlimit, Uid, setrlimit},
    thread::{
        CapabilitySet, CapabilitySets, clear_ambient_capability_set,
        remove_capability_from_bounding_set, set_capabilities, set_no_new_privs, set_thread_groups,
        set_thread_res_gid, set_thread_res_uid,
    },
};

use crate::Failure;

/// Sets the limits, soft and hard. No core dumps: they would hold the guest's memory.
pub(crate) fn limit(limits: &Limits) -> rustix::io::Result<()> {
    let both = |value| Rlimit { current: Some(value), maximum: Some(value) };
    setrlimit(Resource::Core, both(0))?;
    setrlimit(Resource::Nofile, both(limits.open_files))?;
    setrlimit(Resource::Fsize, both(limits.file_size_bytes))
}

/// Becomes the VMM's user, without groups and capabilities. The calls are those of one thread,
/// which is all this process has.
pub(crate) fn drop_to(identity: Option<Identity>) -> Result<(), Failure> {
    set_no_new_privs(true).map_err(Failure::at("set no_new_privs"))?;
    let Some(Identity { uid, gid }) = identity else { return Ok(()) };
    clear_ambient_capability_set().map_err(Failure::at("clear ambient capabilities"))?;
    for capability in CapabilitySet::all() {
        match remove_capability_from_bounding_set(capability) {
            // A capability that this kernel does not have yet.
            Ok(()) | Err(rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(Failure::at("empty the bounding set")(error)),
        }
    }
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    set_thread_groups(&[]).map_err(Failure::at("drop groups"))?;
    set_thread_res_gid(gid, gid, gid).map_err(Failure::at(format!("become group {gid}")))?;
    set_thread_res_uid(uid, uid, uid).map_err(Failure::at(format!("become user {uid}")))?;
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    set_capabilities(None, sets).map_err(Failure::at("drop capabilities"))
}
