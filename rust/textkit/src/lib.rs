//! textkit
#[no_mangle]
pub extern "C" fn textkit_version() -> u32 { 1 }
