#![allow(
    missing_docs,
    clippy::all,
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "scratch"
)]
use camino::Utf8Path;
use rigbox_host::image::*;
#[tokio::main]
async fn main() {
    let a: Vec<String> = std::env::args().collect();
    let store = Store::below(Utf8Path::new(&a[1]));
    let start = std::time::Instant::now();
    let report = move |p: &Progress| eprintln!("{:7.2} {p}", start.elapsed().as_secs_f32());
    let recipes = Utf8Path::new("/work/main/images").to_owned();
    let packages = match a.get(4).map(String::as_str) {
        Some("fetched") => Packages::AsFetched,
        Some("fresh") => Packages::Fresh,
        _ => Packages::AsBuilt,
    };
    let r = match a[2].as_str() {
        "build" => build(
            &BuildRequest {
                store,
                recipes,
                name: a[3].parse().unwrap(),
                programs: GuestPrograms::within(Utf8Path::new("/var/tmp/rigbox-scratch/guest")),
                packages,
            },
            &report,
        )
        .await
        .map(|i| println!("{} {}", i.root_disk, i.manifest.digest)),
        "kernel" => kernel(
            &KernelRequest {
                store,
                recipes,
                kind: if a[3] == "own" {
                    rigbox_vmm::KernelKind::Own
                } else {
                    rigbox_vmm::KernelKind::DebianCloud
                },
                packages,
                jobs: Some(1),
            },
            &report,
        )
        .await
        .map(|k| println!("{k:?}")),
        "resolve" => {
            resolve(&store, &a[3].parse().unwrap()).await.map(|i| println!("{}", i.manifest.digest))
        }
        _ => panic!(),
    };
    if let Err(e) = r {
        let mut s: Option<&dyn std::error::Error> = Some(&e);
        while let Some(x) = s {
            eprintln!("error: {x}");
            s = x.source();
        }
        eprintln!("hint: {:?}", e.hint());
    }
}
