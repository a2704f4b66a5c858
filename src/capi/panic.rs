//! A panic must not reach C. The place that stops one is also the only one where a Rust result becomes a C return value.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::advice::text;

use super::failure::{Failure, Result, set_last_error};

/// A return type in which failures are negative errnos.
pub(crate) trait ErrnoReturn {
    fn failed(errno: i32) -> Self;
}

impl ErrnoReturn for i32 {
    fn failed(errno: i32) -> Self {
        -errno
    }
}

impl ErrnoReturn for isize {
    fn failed(errno: i32) -> Self {
        -errno as isize
    }
}

/// Closing and freeing functions return nothing; their failures are only kept as the last error.
impl ErrnoReturn for () {
    fn failed(_errno: i32) {}
}

/// Runs the body of the exported function `name`. A failure becomes its negative errno and this thread's last error. A
/// panic becomes the failure `-ENOTRECOVERABLE`.
#[inline]
pub(crate) fn boundary<R: ErrnoReturn>(name: &'static str, body: impl FnOnce() -> Result<R>) -> R {
    // An unwinding leaves nothing of ours half-done: guards put things right, and locks ignore poisoning.
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(value)) => value,
        Ok(Err(failure)) => fail(name, &failure),
        Err(payload) => panicked(name, payload),
    }
}

#[cold]
fn fail<R: ErrnoReturn>(name: &'static str, failure: &Failure) -> R {
    set_last_error(name, failure);
    R::failed(failure.errno())
}

#[cold]
fn panicked<R: ErrnoReturn>(name: &'static str, payload: Box<dyn std::any::Any + Send>) -> R {
    // The payload of a panic may panic when it is dropped, so it is leaked instead.
    let text = match (
        payload.downcast_ref::<&str>(),
        payload.downcast_ref::<String>(),
    ) {
        (Some(text), _) => text,
        (_, Some(text)) => text.as_str(),
        _ => "no message",
    };
    let failure = Failure::new(
        libc::ENOTRECOVERABLE,
        text!("a bug in the library: it panicked with \"{text}\""),
    );
    std::mem::forget(payload);
    fail(name, &failure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capi::failure::last_error;
    use std::ffi::CStr;

    #[test]
    fn a_panic_becomes_an_error() {
        let result: i32 = boundary("asyncinotify_test", || panic!("number {}", 3));
        assert_eq!(result, -libc::ENOTRECOVERABLE);
        // SAFETY: the text is never NULL, and valid until this thread's next failure.
        let message = unsafe { CStr::from_ptr(last_error()) }.to_str().unwrap();
        assert_eq!(
            message,
            "asyncinotify_test: a bug in the library: it panicked with \"number 3\""
        );
        assert_eq!(
            boundary::<isize>("asyncinotify_test", || panic!("x")),
            -libc::ENOTRECOVERABLE as isize
        );
    }
}
