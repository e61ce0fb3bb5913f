//! What every C function shares: borrowed views, owned text, the failure type and the panic barrier.

use std::cell::RefCell;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Once;

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Ok = 0,
    Invalid = 1,
    Corrupt = 2,
    Unsupported = 3,
    TooLarge = 4,
    Internal = 5,
}

/// An expected failure: why, and in words for people.
#[derive(Debug)]
pub struct Failure {
    pub status: Status,
    pub message: String,
}

impl Failure {
    pub fn new(status: Status, message: impl Into<String>) -> Failure {
        Failure { status, message: message.into() }
    }
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct View {
    data: *const u8,
    size: usize,
}

impl View {
    /// # Safety
    /// `data` points to `size` readable bytes for as long as the result is used, or `size` is 0.
    pub unsafe fn bytes<'a>(self) -> &'a [u8] {
        if self.data.is_null() || self.size == 0 {
            return &[];
        }
        std::slice::from_raw_parts(self.data, self.size)
    }

    /// # Safety
    /// As `bytes`.
    pub unsafe fn text<'a>(self, what: &str) -> Result<&'a str, Failure> {
        std::str::from_utf8(self.bytes()).map_err(|error| {
            Failure::new(Status::Invalid, format!("{what} is not valid UTF-8 at byte {}", error.valid_up_to()))
        })
    }
}

#[repr(C)]
pub struct Text {
    data: *mut u8,
    size: usize,
    capacity: usize,
}

impl Text {
    pub fn from_bytes(bytes: Vec<u8>) -> Text {
        let mut bytes = std::mem::ManuallyDrop::new(bytes);
        Text { data: bytes.as_mut_ptr(), size: bytes.len(), capacity: bytes.capacity() }
    }
}

/// # Safety
/// `text` is null or was filled by this library and not freed since.
#[no_mangle]
pub unsafe extern "C" fn textkit_text_free(text: *mut Text) {
    let Some(text) = text.as_mut() else { return };
    if !text.data.is_null() {
        drop(Vec::from_raw_parts(text.data, text.size, text.capacity));
    }
    *text = Text { data: std::ptr::null_mut(), size: 0, capacity: 0 };
}

thread_local! {
    static LAST_PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Keeps panics' messages for `guard` instead of letting them write to standard error.
fn install_panic_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            let cause = if let Some(text) = info.payload().downcast_ref::<&str>() {
                (*text).to_string()
            } else if let Some(text) = info.payload().downcast_ref::<String>() {
                text.clone()
            } else {
                "unknown cause".to_string()
            };
            let place = info.location().map(|place| {
                let file = place.file().rsplit(['/', '\\']).next().unwrap_or_default();
                format!(" ({file}:{})", place.line())
            });
            let message = format!("{cause}{}", place.unwrap_or_default());
            let _ = LAST_PANIC.try_with(|last| *last.borrow_mut() = message);
        }));
    });
}

/// Runs `body`; a panic in it becomes an internal failure.
pub fn guard<T>(body: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    install_panic_hook();
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(result) => result,
        Err(payload) => {
            let cause = LAST_PANIC.try_with(|last| std::mem::take(&mut *last.borrow_mut())).unwrap_or_default();
            // Dropping a payload may itself panic.
            if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
                std::mem::forget(second);
            }
            Err(Failure::new(Status::Internal, format!("text library failed: {cause}")))
        }
    }
}

/// Runs `body` behind the panic barrier, stores its result through `output` or its message through `error`.
///
/// # Safety
/// `output` is writable; `error` is null or writable.
pub unsafe fn deliver<T>(output: *mut T, error: *mut Text, body: impl FnOnce() -> Result<T, Failure>) -> Status {
    match guard(body) {
        Ok(value) => {
            output.write(value);
            Status::Ok
        }
        Err(failure) => {
            if !error.is_null() {
                error.write(Text::from_bytes(failure.message.into_bytes()));
            }
            failure.status
        }
    }
}
