//! A full disk, of the server and of the publisher.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use testkit::agent::{Agent, Home, provider};
use testkit::fake_backend::FakeBackend;
use testkit::figures::record;
use testkit::mcpd::Mcpd;
use testkit::process::CommandLine as _;
use testkit::setup::{Setup, chat_body};

/// A small file system, mounted on a folder.
struct Disk(PathBuf);

impl Disk {
    /// Mounts one; `None` if this machine does not permit it.
    fn mount(folder: &Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(folder);
        if mount.output().is_ok_and(|output| output.status.success()) {
            return Some(Self(folder.to_owned()));
        }
        record(
            "a full disk",
            "skipped: no mounts here",
            "nothing lost, goes on when there is room",
        );
        None
    }

    /// Fills it to the last byte.
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
async fn a_server_with_a_full_disk_keeps_serving_and_takes_new_models_when_there_is_space() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount(folder.path()) else { return };
    let mcpd = Mcpd::in_folder(folder, &[]).await;
    let backend = FakeBackend::awake().await;
    let setup = crate::publish(mcpd, backend, &serde_json::json!({})).await;
    disk.fill();
    for _ in 0..20 {
        assert_eq!(setup.chat(&chat_body()).await.status(), 200, "a call needs no disk space");
    }
    let more = [provider("qwen", &setup.backend.url), provider("new", &setup.backend.url)];
    setup.home.configure(&setup.mcpd.url, &more);
    setup.home.until_status("not online", |status| status["connection"]["state"] != "online").await;
    disk.free();
    setup.mcpd.until_active(&setup.caller, "new").await;
    assert_eq!(setup.chat(&chat_body()).await.status(), 200);
    record("mcpd's disk is full", "calls go on; new models when there is room", "the same");
    drop(setup);
    drop(disk);
}

#[tokio::test]
async fn an_edit_on_a_full_disk_is_refused_and_loses_nothing() {
    let folder: TempDir = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount(folder.path()) else { return };
    let (mcpd, backend) = (Mcpd::logging("info", 1.0).await, FakeBackend::awake().await);
    let home = Home::in_folder(folder);
    home.configure(&mcpd.url, &[provider("qwen", &backend.url)]);
    let (publisher, caller) = (mcpd.token("mia", "publish"), mcpd.token("tom", "infer"));
    let agent = Agent::start(&home, &publisher);
    mcpd.until_active(&caller, "qwen").await;
    let setup = Setup { agent, home, backend, mcpd, publisher, caller };
    let before = setup.home.read("config.json");
    disk.fill();
    let error = setup.home.run(&["unpublish", "qwen"]).await.expect_failure();
    assert_eq!(setup.home.read("config.json"), before, "{error}");
    assert!(error.contains("config.json could not be"), "{error}");
    assert_eq!(setup.chat(&chat_body()).await.status(), 200, "the model is still published");
    disk.free();
    setup.home.run(&["unpublish", "qwen"]).await.expect_success();
    setup.mcpd.until_gone(&setup.caller, "qwen").await;
    record("the publisher's disk is full", "the edit is refused, nothing is lost", "the same");
    drop(setup);
    drop(disk);
}
