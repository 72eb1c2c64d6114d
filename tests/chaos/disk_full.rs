//! A disk that is full: of the server, and of the person who publishes.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use testkit::agent::{Agent, Home, provider};
use testkit::backend::Backend;
use testkit::figure::figure;
use testkit::mcpd::Mcpd;
use testkit::process::CommandLine as _;
use testkit::world::{World, whole};

/// A small disk of the test's own.
struct Disk(PathBuf);

impl Disk {
    /// `None`, with word of it, where this machine does not let us.
    fn mount(folder: &Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(folder);
        if mount.output().is_ok_and(|output| output.status.success()) {
            return Some(Self(folder.to_owned()));
        }
        figure(
            "a full disk",
            "skipped: no mounts here",
            "nothing lost, goes on when there is room",
        );
        None
    }

    /// Not a byte is left.
    fn fill(&self) {
        for size in [64 * 1024, 1] {
            let mut file =
                std::fs::File::options().create(true).append(true).open(self.filler()).unwrap();
            while file.write_all(&vec![b'x'; size]).is_ok() {}
        }
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    fn free(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_server_whose_disk_is_full_goes_on_and_takes_new_models_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount(folder.path()) else { return };
    let mcpd = Mcpd::in_folder(folder, &[]).await;
    let backend = Backend::awake().await;
    let world = crate::publish(mcpd, backend, &serde_json::json!({})).await;
    disk.fill();
    for _ in 0..20 {
        assert_eq!(world.chat(&whole()).await.status(), 200, "a call needs no disk");
    }
    let more = [provider("qwen", &world.backend.url), provider("new", &world.backend.url)];
    world.home.configure(&world.mcpd.url, &more);
    world.home.shows("that it cannot", |status| status["connection"]["state"] != "online").await;
    disk.free();
    world.mcpd.active(&world.caller, "new").await;
    assert_eq!(world.chat(&whole()).await.status(), 200);
    figure("mcpd's disk is full", "calls go on; new models when there is room", "the same");
    drop(world);
    drop(disk);
}

#[tokio::test]
async fn an_edit_on_a_full_disk_is_refused_and_loses_nothing() {
    let folder: TempDir = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount(folder.path()) else { return };
    let (mcpd, backend) = (Mcpd::usual().await, Backend::awake().await);
    let home = Home::in_folder(folder);
    home.configure(&mcpd.url, &[provider("qwen", &backend.url)]);
    let (publisher, caller) = (mcpd.token("mia", "publish"), mcpd.token("tom", "infer"));
    let agent = Agent::start(&home, &publisher);
    mcpd.active(&caller, "qwen").await;
    let world = World { agent, home, backend, mcpd, publisher, caller };
    let before = world.home.read("config.json");
    disk.fill();
    let said = world.home.run(&["unpublish", "qwen"]).await.bad();
    assert_eq!(world.home.read("config.json"), before, "{said}");
    assert!(said.contains("config.json could not be"), "{said}");
    assert_eq!(world.chat(&whole()).await.status(), 200, "it is published still");
    disk.free();
    world.home.run(&["unpublish", "qwen"]).await.good();
    world.mcpd.gone(&world.caller, "qwen").await;
    figure("the publisher's disk is full", "the edit is refused, nothing is lost", "the same");
    drop(world);
    drop(disk);
}
