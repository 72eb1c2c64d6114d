//! Replays every stored input of the fuzz targets: the archives and the inputs that once failed.

use trust::corpus;
use trust::fuzz_targets::{ALL, run};

#[test]
fn every_stored_input_passes_its_target() {
    for (name, target) in ALL {
        let inputs = corpus::inputs(name).unwrap();
        println!("{name}: {} inputs", inputs.len());
        assert!(inputs.len() >= 5, "{name} has only {} inputs", inputs.len());
        for (file, data) in inputs {
            println!("{name}/{file}");
            target(&data);
        }
    }
}

#[test]
fn name_edits_pass_on_every_stored_config_file() {
    for (file, mut data) in corpus::inputs("config").unwrap() {
        println!("config/{file}");
        // The target's first byte chooses the edit and the provider; these are the edits of names.
        for choice in (192..=u8::MAX).filter(|choice| choice % 8 < 4) {
            if let Some(first) = data.first_mut() {
                *first = choice;
                run("config", &data);
            }
        }
    }
}
