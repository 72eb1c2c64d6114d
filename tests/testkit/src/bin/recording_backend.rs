//! The fake backend in a process of its own: `recording_backend PORT FOLDER`. A test can kill, stop
//! and restart it, and reads its log from stdout.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a tool of the tests")]

use std::path::PathBuf;
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().unwrap().parse().unwrap();
    let folder = PathBuf::from(arguments.next().unwrap());
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    println!("listening");
    testkit::fake_backend::serve(listener, &folder).await.unwrap();
}
