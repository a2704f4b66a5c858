//! This file alone decides how a pointer from C becomes a Rust value.
//!
//! Every function here takes a pointer that C passed and the name of the parameter, and answers NULL or nonsense with
//! -EINVAL. The C program promises that any other pointer points to what the header asks for.

use std::ffi::{CStr, c_char};

use super::failure::{Failure, Result};

fn usable<T>(pointer: *const T, name: &'static str) -> Result<()> {
    match pointer {
        _ if pointer.is_null() => Err(Failure::null(name)),
        _ if !pointer.is_aligned() => Err(Failure::argument(name, "is not an aligned pointer")),
        _ => Ok(()),
    }
}

/// Returns a struct that the caller filled.
///
/// # Safety
/// `pointer` is NULL or points to a `T` that stays as it is for `'a`.
#[inline]
pub(crate) unsafe fn input<'a, T>(pointer: *const T, name: &'static str) -> Result<&'a T> {
    usable(pointer, name)?;
    // SAFETY: the pointer is not NULL and aligned, and the caller promises that it is readable.
    Ok(unsafe { &*pointer })
}

/// A room in the caller's memory for `len` values. Nothing is read from the room, and it is never a Rust reference, for a
/// callback may be using the same variable.
pub(crate) struct Room<T> {
    start: *mut T,
    len: usize,
}

impl<T> Room<T> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn put(&self, index: usize, value: T) {
        assert!(index < self.len);
        // SAFETY: the C program says that it has this room, and the pointer was checked when the `Room` was made.
        unsafe { self.start.add(index).write(value) }
    }

    /// Puts the value into a room for one value, or nowhere if the caller does not want it.
    #[inline]
    pub(crate) fn put_first(&self, value: T) {
        if self.len > 0 {
            self.put(0, value);
        }
    }

    /// Returns the place of one value, to be filled field by field.
    #[inline]
    pub(crate) fn place(&self, index: usize) -> *mut T {
        assert!(index < self.len);
        // SAFETY: the place is inside the room, which `put` relies on as well.
        unsafe { self.start.add(index) }
    }
}

/// Returns the room for one value that the caller wants.
///
/// # Safety
/// `pointer` is NULL or points to writable room for a `T` for as long as the result is used.
#[inline]
pub(crate) unsafe fn output<T>(pointer: *mut T, name: &'static str) -> Result<Room<T>> {
    usable(pointer, name)?;
    Ok(Room {
        start: pointer,
        len: 1,
    })
}

/// Returns the room for one value that the caller may not want.
///
/// # Safety
/// `pointer` has to be as `output` asks for.
pub(crate) unsafe fn optional_output<T>(pointer: *mut T, name: &'static str) -> Result<Room<T>> {
    if pointer.is_null() {
        return Ok(Room {
            start: pointer,
            len: 0,
        });
    }
    // SAFETY: the caller's promise is the same.
    unsafe { output(pointer, name) }
}

/// Returns the room for `len` values. NULL is fine when `len` is 0.
///
/// # Safety
/// `pointer` is NULL or points to writable room for `len` values for as long as the result is used.
#[inline]
pub(crate) unsafe fn array<T>(pointer: *mut T, len: usize, name: &'static str) -> Result<Room<T>> {
    if len == 0 {
        return Ok(Room {
            start: pointer,
            len: 0,
        });
    }
    usable(pointer, name)?;
    // No array is larger than this, so a larger length is nonsense.
    if len > isize::MAX as usize / size_of::<T>() {
        return Err(Failure::argument(name, "can't have room for that many"));
    }
    Ok(Room {
        start: pointer,
        len,
    })
}

/// Returns a path, which may have any bytes but NUL.
///
/// # Safety
/// `pointer` is NULL or points to a NUL-terminated string that stays as it is for `'a`.
pub(crate) unsafe fn path<'a>(pointer: *const c_char) -> Result<&'a CStr> {
    if pointer.is_null() {
        return Err(Failure::null("path"));
    }
    // SAFETY: the pointer is not NULL, and the caller promises a NUL-terminated string.
    Ok(unsafe { CStr::from_ptr(pointer) })
}

/// Puts a text into the caller's buffer as snprintf(3) does and returns the length of the whole text.
///
/// # Safety
/// `buf` is NULL or points to writable room of `size` bytes.
pub(crate) unsafe fn put_text(text: &[u8], buf: *mut c_char, size: usize) -> Result<usize> {
    // C may declare a larger buffer than there can be; no more than the text and its NUL is ever written.
    let wanted = size.min(text.len() + 1);
    // SAFETY: the caller's promise holds for the smaller size.
    let room = unsafe { array(buf, wanted, "buf") }?;
    if let Some(end) = room.len().checked_sub(1) {
        // SAFETY: `end` bytes of text and one NUL fit into the room, and no Rust object overlaps the caller's buffer.
        unsafe {
            text.as_ptr()
                .cast::<c_char>()
                .copy_to_nonoverlapping(room.start, end)
        };
        room.put(end, 0);
    }
    Ok(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_put_as_snprintf_does() {
        let mut buf = [b'x' as c_char; 8];
        let mut put = |size| {
            buf = [b'x' as c_char; 8];
            // SAFETY: the buffer has 8 bytes and size is at most that.
            let len = unsafe { put_text(b"abc", buf.as_mut_ptr(), size) }.unwrap();
            (len, buf.map(|c| c as u8))
        };
        assert_eq!(put(8), (3, *b"abc\0xxxx"));
        assert_eq!(put(4), (3, *b"abc\0xxxx"));
        assert_eq!(put(3), (3, *b"ab\0xxxxx"));
        assert_eq!(put(1), (3, *b"\0xxxxxxx"));
        assert_eq!(put(0), (3, *b"xxxxxxxx"));
        // SAFETY: NULL is allowed; with a size it is refused and not written to.
        let null = |size| unsafe { put_text(b"abc", std::ptr::null_mut(), size) };
        assert_eq!(null(0).unwrap(), 3);
        assert_eq!(null(1).unwrap_err().errno(), libc::EINVAL);
    }

    #[test]
    fn nonsense_is_refused() {
        let odd = std::ptr::without_provenance_mut::<u64>(0x1001);
        // SAFETY: neither pointer is dereferenced, which is what is tested.
        unsafe {
            assert_eq!(output(odd, "out").err().unwrap().errno(), libc::EINVAL);
            assert_eq!(
                input(odd.cast_const(), "in").unwrap_err().errno(),
                libc::EINVAL
            );
            assert_eq!(
                output::<u64>(std::ptr::null_mut(), "out")
                    .err()
                    .unwrap()
                    .errno(),
                libc::EINVAL
            );
            assert!(
                optional_output::<u64>(std::ptr::null_mut(), "out")
                    .unwrap()
                    .len()
                    == 0
            );
            let mut one = 0u64;
            assert_eq!(
                array(&raw mut one, usize::MAX, "ids")
                    .err()
                    .unwrap()
                    .errno(),
                libc::EINVAL
            );
            assert!(array::<u64>(std::ptr::null_mut(), 0, "ids").unwrap().len() == 0);
        }
    }
}
