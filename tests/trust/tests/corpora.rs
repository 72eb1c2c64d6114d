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

#[test]
fn the_edits_of_names_leave_every_file_that_was_found_as_whole_as_the_others_do() {
    let (_, config) = trust::targets::ALL.iter().find(|(name, _)| *name == "config").unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpora/config");
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        println!("{}", path.display());
        let mut data = std::fs::read(path).unwrap();
        // See the target: the first byte is the edit, and the provider that it is about.
        for choice in (192..=u8::MAX).filter(|choice| choice % 8 < 4) {
            if let Some(first) = data.first_mut() {
                *first = choice;
                config(&data);
            }
        }
    }
}
