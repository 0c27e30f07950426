//! Templates in the language `jinja`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ebb_fuzz::run(bytes, ebb_template::Language::Jinja));
