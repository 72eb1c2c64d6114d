use trust::tape::Tape;
fn main() {
    let n: u64 = std::env::args().nth(1).unwrap().parse().unwrap();
    let mut bad = 0;
    for seed in 0..n {
        if let Err(why) = trust::machine::run(&mut Tape::seeded(seed), 200) { println!("{seed}: {why}"); bad += 1; if bad > 8 { break; } }
        if let Err(why) = trust::session::run(&mut Tape::seeded(seed), 200) { println!("{seed}: session {why}"); bad += 1; if bad > 8 { break; } }
    }
}
