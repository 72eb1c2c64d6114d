//! What fuzzing has found stays found.

use std::path::Path;

#[test]
fn every_input_that_was_ever_interesting_still_passes() {
    for (name, target) in trust::targets::ALL {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpora").join(name);
        let files = std::fs::read_dir(&folder).unwrap();
        let mut count = 0;
        for file in files {
            let path = file.unwrap().path();
            println!("{}", path.display());
            target(&std::fs::read(path).unwrap());
            count += 1;
        }
        assert!(count >= 5, "{} has {count} files", folder.display());
    }
}
