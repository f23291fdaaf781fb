//! What goes wrong without anybody's fault.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    time::{Duration, Instant},
};

use rigbox_types::{Desired, Observed, WorkspaceId, failure::FailureCode};

use crate::{
    guest::CRASH,
    roles::DRIVER,
    vmm::SLOW,
    world::{World, assignment, run},
};

#[tokio::test]
async fn a_vm_outlives_its_agent_and_is_taken_over() {
    let mut world = World::quick().await;
    world.start();
    let wanted = assignment(1, Desired::Running);
    let workspace = wanted.workspace.clone();
    let generation = world.control.assign(wanted.clone());
    let before = world.control.wait_for(&workspace, generation, Observed::Running).await;
    let pid = world.pid(&workspace);
    for _ in 0..3 {
        world.kill().await;
        world.start();
        let sequence = before.sequence;
        let again = world.control.wait("the next agent", |told| {
            let seen = told.observations.get(&workspace)?;
            (seen.sequence.incarnation > sequence.incarnation && seen.observed == Observed::Running)
                .then(|| seen.clone())
        });
        let again = again.await;
        assert_eq!((world.pid(&workspace), again.ready_at), (pid, before.ready_at));
    }
    world.control.wait_for_reports(3).await;
    assert_eq!(world.control.told().most_drift, 0);
}

/// Waits until the workspace's guest answers through the agent.
async fn wait_for_answer(world: &World, workspace: &WorkspaceId) {
    let path = format!("/v1/workspaces/{workspace}/guest/metrics");
    let answered = async {
        loop {
            let ask = http::Request::get(&path).body(rigbox_fabric::Body::empty()).unwrap();
            let answer = world.client().request(ask).await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), answered).await.unwrap();
}

#[tokio::test]
async fn a_vm_that_cannot_be_taken_over_at_first_runs_on_and_is_taken_over_later() {
    let mut world = World::quick().await;
    world.start();
    let mut wanted = assignment(1, Desired::Running);
    let workspace = wanted.workspace.clone();
    let generation = world.control.assign(wanted.clone());
    world.control.wait_for(&workspace, generation, Observed::Running).await;
    let pid = world.pid(&workspace);
    world.kill().await;
    // Its relays cannot listen, and its VMM does not answer in time.
    let space = format!("/run/netns/rb-{}-{}", world.tag(), world.slot(&workspace));
    let squatter = squat(&space, "172.16.0.1:9090");
    fs::write(world.data().join(SLOW), "").unwrap();
    world.start();
    world.control.wait_for_reports(3).await;
    let seen = world.control.told().observations[&workspace].clone();
    assert_eq!((seen.observed, seen.failure), (Observed::Running, None));
    assert_eq!(world.pid(&workspace), pid);
    fs::remove_file(world.data().join(SLOW)).unwrap();
    wait_for_answer(&world, &workspace).await;
    drop(squatter);
    world.until("the relays", || listens(&space, "172.16.0.1:9090")).await;
    assert_eq!((world.pid(&workspace), world.vms()), (pid, 1));
    wanted.desired = Desired::Stopped;
    world.control.wait_for(&workspace, world.control.assign(wanted), Observed::Stopped).await;
}

#[tokio::test]
async fn a_vm_of_another_driver_is_taken_over_by_that_driver() {
    let mut world = World::quick().await;
    world.start();
    let mut wanted = assignment(1, Desired::Running);
    let workspace = wanted.workspace.clone();
    let generation = world.control.assign(wanted.clone());
    world.control.wait_for(&workspace, generation, Observed::Running).await;
    let pid = world.pid(&workspace).unwrap();
    let record = world.data().join(format!("host/workspaces/{workspace}/record.json"));
    let other = [(DRIVER, "firecracker")];
    for old in [false, true] {
        world.kill().await;
        if old {
            // As an agent wrote it that knew one driver only.
            let text = fs::read_to_string(&record).unwrap();
            let named = "\"driver\": \"qemu_tcg\",";
            assert!(text.contains(named), "{text}");
            fs::write(&record, text.replace(named, "")).unwrap();
        }
        world.start_with(&other);
        wait_for_answer(&world, &workspace).await;
        assert_eq!((world.pid(&workspace), world.vms()), (Some(pid), 1));
    }
    wanted.desired = Desired::Stopped;
    world.control.wait_for(&workspace, world.control.assign(wanted), Observed::Stopped).await;
}

#[tokio::test]
async fn a_vm_that_stays_out_of_reach_is_booted_again_after_its_time() {
    let times = "[times]\nadopt_ms = 2000\nshutdown_ms = 300\npower_ms = 200\nsettle_ms = 500\nreport_ms = 200";
    let mut world = World::new(times).await;
    world.start();
    let wanted = assignment(1, Desired::Running);
    let workspace = wanted.workspace.clone();
    let generation = world.control.assign(wanted);
    world.control.wait_for(&workspace, generation, Observed::Running).await;
    let pid = world.pid(&workspace).unwrap();
    world.kill().await;
    fs::write(world.data().join(SLOW), "").unwrap();
    world.start();
    world.until("another VM", || world.pid(&workspace).is_some_and(|new| new != pid)).await;
    world.control.wait_for(&workspace, generation, Observed::Running).await;
    assert_eq!(world.vms(), 1);
}

/// Works in a network namespace, on a thread that ends with it.
fn within<T: Send>(space: &str, work: impl FnOnce() -> T + Send) -> T {
    use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
    use std::os::fd::AsFd as _;

    std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            let file = fs::File::open(space).unwrap();
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(file.as_fd(), kind).unwrap();
            work()
        });
        inside.join().unwrap()
    })
}

/// Takes an address in a namespace away from the relays.
fn squat(space: &str, address: &str) -> TcpListener {
    within(space, || TcpListener::bind(address).unwrap())
}

fn listens(space: &str, address: &str) -> bool {
    within(space, || TcpStream::connect(address).is_ok())
}

#[tokio::test]
async fn an_agent_that_is_told_to_end_does_so_at_once_and_leaves_the_vm() {
    // With the times of a real one.
    let mut world = World::new("[times]\nboot_ms = 20000").await;
    world.start();
    let wanted = assignment(1, Desired::Running);
    let workspace = wanted.workspace.clone();
    let generation = world.control.assign(wanted);
    world.control.wait_for(&workspace, generation, Observed::Running).await;
    let pid = world.pid(&workspace).unwrap();
    // A connection that idles, as control's do.
    let metrics = http::Request::get("/metrics").body(rigbox_fabric::Body::empty()).unwrap();
    let client = world.client();
    assert!(client.request(metrics).await.unwrap().status().is_success());
    let told = Instant::now();
    assert!(world.stop().await.success());
    assert!(told.elapsed() < Duration::from_secs(5), "{:?}", told.elapsed());
    assert!(fs::exists(format!("/proc/{pid}")).unwrap());
}

#[tokio::test]
async fn an_agent_without_control_keeps_what_runs_and_boots_what_ended() {
    let mut world = World::quick().await;
    world.start();
    let wanted = assignment(1, Desired::Running);
    let workspace = wanted.workspace.clone();
    let generation = world.control.assign(wanted);
    world.control.wait_for(&workspace, generation, Observed::Running).await;
    world.kill().await;
    world.control.close().await;
    let pid = world.pid(&workspace).unwrap();
    run("kill", &["-9", &pid.to_string()]);
    world.start();
    world.until("another VM", || world.pid(&workspace).is_some_and(|new| new != pid)).await;
    world.control.open().await;
    world.control.wait_for(&workspace, generation, Observed::Running).await;
}

#[tokio::test]
async fn a_vm_that_ends_by_itself_is_booted_again_and_the_failure_forgotten() {
    let mut world = World::quick().await;
    world.start();
    let wanted = assignment(1, Desired::Running);
    let workspace = wanted.workspace.clone();
    let control = &world.control;
    let generation = control.assign(wanted);
    control.wait_for(&workspace, generation, Observed::Running).await;
    let pid = world.pid(&workspace).unwrap();
    run("kill", &["-9", &pid.to_string()]);
    let failing =
        control.wait("the failure", |told| told.observations.get(&workspace)?.failure.clone());
    let failing = failing.await;
    assert_eq!((failing.code, failing.attempts), (FailureCode::VmmExited, 1));
    control.wait_for(&workspace, generation, Observed::Running).await;
    let record = world.data().join(format!("host/workspaces/{workspace}/record.json"));
    world
        .until("the failure to be forgotten", || {
            let text = fs::read_to_string(&record).unwrap_or_default();
            text.contains("\"trouble\": null")
        })
        .await;
}

#[tokio::test]
async fn a_vm_that_never_stays_up_is_given_up_until_somebody_asks() {
    let mut world = World::quick().await;
    world.start();
    let mut wanted = assignment(1, Desired::Running);
    wanted.guest.env.insert(CRASH.to_owned(), "1".to_owned());
    let workspace = wanted.workspace.clone();
    let control = &world.control;
    let generation = control.assign(wanted.clone());
    let seen = control.wait_for(&workspace, generation, Observed::Failed).await;
    let failure = seen.failure.unwrap();
    assert_eq!((failure.code, failure.attempts), (FailureCode::VmmExited, 5));
    control.wait("release", |told| (told.last.as_ref()?.promised.vcpus == 0).then_some(())).await;
    wanted.guest.env.clear();
    wanted.retry_generation = generation.next();
    control.wait_for(&workspace, control.assign(wanted), Observed::Running).await;
}

#[tokio::test]
async fn an_agent_that_is_killed_during_boots_uses_up_no_attempts() {
    let mut world = World::quick().await;
    let wanted = assignment(1, Desired::Running);
    let workspace = wanted.workspace.clone();
    let generation = world.control.assign(wanted);
    for _ in 0..6 {
        world.start_with(&[("RIGBOX_FAULT", "admit.after")]);
        world.ended().await;
    }
    world.start();
    world.control.wait_for(&workspace, generation, Observed::Running).await;
    let record = world.data().join(format!("host/workspaces/{workspace}/record.json"));
    assert!(fs::read_to_string(&record).unwrap().contains("\"trouble\": null"));
}

#[tokio::test]
async fn a_guest_that_became_ready_while_no_agent_lived_is_not_ended_for_it() {
    let times = "[times]\nboot_ms = 3000\nsettle_ms = 500\nreport_ms = 200";
    let mut world = World::new(times).await;
    let wanted = assignment(1, Desired::Running);
    let workspace = wanted.workspace.clone();
    let generation = world.control.assign(wanted);
    world.start_with(&[("RIGBOX_FAULT", "tell.before")]);
    world.ended().await;
    let pid = world.pid(&workspace).unwrap();
    let ended = Instant::now();
    let late = || ended.elapsed() > Duration::from_secs(4);
    world.until("its time to boot to be over", late).await;
    world.start();
    world.control.wait_for(&workspace, generation, Observed::Running).await;
    assert_eq!(world.pid(&workspace), Some(pid));
}

#[tokio::test]
async fn two_agents_do_not_share_a_data_directory() {
    let mut world = World::quick().await;
    world.start();
    let wanted = assignment(1, Desired::Running);
    let workspace = wanted.workspace.clone();
    let generation = world.control.assign(wanted);
    world.control.wait_for(&workspace, generation, Observed::Running).await;
    let (status, said) = world.second_agent();
    assert!(!status.success());
    assert!(said.contains("held by another host agent (pid "), "{said}");
    assert!(!world.has_ended());
}

#[tokio::test]
async fn fifty_creates_where_five_fit_leave_five_running_and_the_rest_told() {
    let mut world = World::new("[capacity]\nvcpus = 5\nmemory_mib = 65536\ndisk_mib = 65536").await;
    world.start();
    let control = &world.control;
    let mut all = Vec::new();
    for n in 0..50 {
        let wanted = assignment(n, Desired::Running);
        all.push(wanted.workspace.clone());
        control.assign(wanted);
    }
    // 50 ids of 36 characters: some are the same workspace.
    all.sort();
    all.dedup();
    let settled = control.wait("all to settle", |told| {
        let count =
            |observed| told.observations.values().filter(|seen| seen.observed == observed).count();
        let (running, failed) = (count(Observed::Running), count(Observed::Failed));
        (running + failed == all.len()).then_some((running, failed))
    });
    let (running, failed) = settled.await;
    assert_eq!((running, failed), (5, all.len() - 5));
    let codes = control.told().observations.into_values().filter_map(|seen| seen.failure);
    assert!(codes.into_iter().all(|failure| failure.code == FailureCode::CapacityExhausted));
}

#[tokio::test]
async fn an_image_that_is_missing_is_told_and_found_when_it_comes() {
    let mut world = World::quick().await;
    world.start();
    let mut wanted = assignment(1, Desired::Running);
    wanted.image = "later".parse().unwrap();
    let workspace = wanted.workspace.clone();
    let control = &world.control;
    let generation = control.assign(wanted.clone());
    let seen = control.wait_for(&workspace, generation, Observed::Failed).await;
    assert_eq!(seen.failure.unwrap().code, FailureCode::ImageMissing);
    let images = world.data().join("images");
    run("cp", &["-r", images.join("tiny").as_str(), images.join("later").as_str()]);
    wanted.retry_generation = generation.next();
    control.wait_for(&workspace, control.assign(wanted), Observed::Running).await;
}

#[tokio::test]
async fn control_is_told_which_images_there_are_also_of_later_ones() {
    let mut world = World::quick().await;
    world.start();
    let knows = |name: &'static str| {
        world.control.wait("images", move |told| {
            let images = told.registration.as_ref()?.images.as_ref()?;
            images.iter().any(|image| image.as_str() == name).then_some(())
        })
    };
    knows("tiny").await;
    let images = world.data().join("images");
    run("cp", &["-r", images.join("tiny").as_str(), images.join("later").as_str()]);
    let manifest = images.join("later/manifest.json");
    let text = fs::read_to_string(&manifest).unwrap().replace("\"tiny\"", "\"later\"");
    fs::write(&manifest, text).unwrap();
    knows("later").await;
}

#[tokio::test]
async fn a_full_storage_is_told_and_leaves_nothing_half_made() {
    let mut world = World::new("[disk]\npool = 'always'\npool_gib = 1\nreserve_mib = 100").await;
    world.start();
    let control = &world.control;
    let first = assignment(1, Desired::Running);
    control.wait_for(&first.workspace.clone(), control.assign(first), Observed::Running).await;
    let filler = world.data().join("pool/filler");
    run("fallocate", &["-l", &filler_len(&world), filler.as_str()]);
    let second = assignment(2, Desired::Running);
    let workspace = second.workspace.clone();
    let generation = control.assign(second.clone());
    let seen = control.wait_for(&workspace, generation, Observed::Failed).await;
    assert_eq!(seen.failure.unwrap().code, FailureCode::DiskFull);
    assert_eq!(world.names("pool/workspaces").len(), 1);
    fs::remove_file(filler).unwrap();
    let mut again = second;
    again.retry_generation = generation.next();
    control.wait_for(&workspace, control.assign(again), Observed::Running).await;
}

fn filler_len(world: &World) -> String {
    let free = run("df", &["--output=avail", "-B1", world.data().join("pool").as_str()]);
    let free: u64 = free.lines().nth(1).unwrap().trim().parse().unwrap();
    (free - (50 << 20)).to_string()
}

#[tokio::test]
async fn a_corrupt_record_is_set_aside_and_the_disk_found_again() {
    let mut world = World::quick().await;
    world.start();
    let mut wanted = assignment(1, Desired::Running);
    let workspace = wanted.workspace.clone();
    world
        .control
        .wait_for(&workspace, world.control.assign(wanted.clone()), Observed::Running)
        .await;
    wanted.desired = Desired::Stopped;
    let generation = world.control.assign(wanted.clone());
    world.control.wait_for(&workspace, generation, Observed::Stopped).await;
    world.kill().await;
    let disk = world.data().join(format!("pool/workspaces/{workspace}.ext4"));
    let inode = || std::os::unix::fs::MetadataExt::ino(&fs::metadata(&disk).unwrap());
    let before = inode();
    let dir = world.data().join(format!("host/workspaces/{workspace}"));
    fs::write(dir.join("record.json"), "{ half").unwrap();
    world.start();
    wanted.desired = Desired::Running;
    let generation = world.control.assign(wanted);
    world.control.wait_for(&workspace, generation, Observed::Running).await;
    assert_eq!(inode(), before, "the same disk");
    assert!(dir.join("record.json.bad").exists());
}

#[tokio::test]
async fn what_is_nobodys_is_found_and_removed() {
    // What a sweep found is told until the next one: far longer than a report takes.
    let times = "[times]\nsweep_ms = 2000\nreport_ms = 100\nshutdown_ms = 300\npower_ms = 200";
    let mut world = World::new(times).await;
    world.start();
    let control = &world.control;
    let wanted = assignment(1, Desired::Running);
    control.wait_for(&wanted.workspace.clone(), control.assign(wanted), Observed::Running).await;
    assert_eq!(control.told().most_drift, 0);
    let tag = world.tag();
    let name = format!("rb-{tag}-4000");
    run("ip", &["netns", "add", &name]);
    world.until("the namespace to go", || !fs::exists(format!("/run/netns/{name}")).unwrap()).await;
    control.wait("drift", |told| (told.most_drift > 0).then_some(())).await;
    run("nft", &["delete", "table", "inet", &format!("rigbox_{tag}")]);
    let listed = || run("nft", &["list", "tables"]).contains(&format!("rigbox_{tag}"));
    world.until("the table to be back", listed).await;
    control.wait("no drift", |told| (told.last.as_ref()?.drift == 0).then_some(())).await;
}
