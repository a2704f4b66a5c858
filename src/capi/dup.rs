//! Copies of events: each is one block of memory, which the struct begins and its strings follow.

use std::ffi::c_char;
use std::ptr;

use super::failure::{Failure, Result};
use super::types::event::asyncinotify_event;

/// Copies an event into a block of its own: the struct, the path, moved_from, and the name if that is not the tail of the
/// path.
///
/// # Safety
/// The event's strings are valid for their lengths.
pub(crate) unsafe fn copy(event: &asyncinotify_event) -> Result<*mut asyncinotify_event> {
    let name_in_path = name_in_path(event);
    let block = allocate(size(event, name_in_path))?;
    // SAFETY: the block has room for the struct, and malloc aligns for everything in it. The strings go behind it.
    let mut behind = unsafe {
        block.copy_from_nonoverlapping(event, 1);
        Free(block.add(1).cast())
    };
    // SAFETY: `size` has counted each of these strings, and the caller promises that they are valid.
    let (path, moved_from, own_name) = unsafe {
        (
            behind.append(event.path, event.path_len),
            behind.append(event.moved_from, event.moved_from_len),
            match name_in_path {
                Some(_) => ptr::null(),
                None => behind.append(event.name, event.name_len),
            },
        )
    };
    // SAFETY: the struct at the block's start was initialised above.
    unsafe {
        (*block).path = path;
        (*block).moved_from = moved_from;
        (*block).name = name_in_path.map_or(own_name, |offset| path.wrapping_add(offset));
    }
    Ok(block)
}

/// Frees a copy.
///
/// # Safety
/// `event` is NULL, or a result of `copy` that has not been freed.
pub(crate) unsafe fn free(event: *mut asyncinotify_event) {
    // SAFETY: the block came from malloc by the caller's promise.
    unsafe { libc::free(event.cast()) }
}

/// Returns the name's place in the path, if the name is the path's tail.
fn name_in_path(event: &asyncinotify_event) -> Option<usize> {
    if event.path.is_null() || event.name.is_null() {
        return None;
    }
    let offset = event.name.addr().wrapping_sub(event.path.addr());
    (offset.checked_add(event.name_len) == Some(event.path_len)).then_some(offset)
}

/// Returns the size of the block, or `None` if no block can be so large.
fn size(event: &asyncinotify_event, name_in_path: Option<usize>) -> Option<usize> {
    let room = |text: *const c_char, len: usize| match text.is_null() {
        true => Some(0),
        false => len.checked_add(1),
    };
    let own_name = match name_in_path {
        Some(_) => Some(0),
        None => room(event.name, event.name_len),
    };
    size_of::<asyncinotify_event>()
        .checked_add(room(event.path, event.path_len)?)?
        .checked_add(room(event.moved_from, event.moved_from_len)?)?
        .checked_add(own_name?)
}

/// Gets the block from malloc, because free(3) needs no size.
fn allocate(size: Option<usize>) -> Result<*mut asyncinotify_event> {
    // SAFETY: malloc takes any size.
    let block = size.map_or(ptr::null_mut(), |size| unsafe { libc::malloc(size) });
    match block.is_null() {
        true => Err(Failure::new(
            libc::ENOMEM,
            "no memory for a copy of the event",
        )),
        false => Ok(block.cast()),
    }
}

/// The part of the block that is still free begins here.
struct Free(*mut c_char);

impl Free {
    /// Copies a string and a NUL behind it; NULL stays NULL.
    ///
    /// # Safety
    /// `text` is NULL or valid for `len` bytes, and the block has `len` + 1 free bytes for it.
    unsafe fn append(&mut self, text: *const c_char, len: usize) -> *const c_char {
        if text.is_null() {
            return ptr::null();
        }
        let place = self.0;
        // SAFETY: the caller promises both the source and the room, and a fresh block overlaps nothing.
        unsafe {
            place.copy_from_nonoverlapping(text, len);
            place.add(len).write(0);
            self.0 = place.add(len + 1);
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    fn event(
        path: Option<&'static CStr>,
        name: Option<&'static CStr>,
        moved_from: Option<&'static CStr>,
    ) -> asyncinotify_event {
        let text = |text: Option<&'static CStr>| {
            text.map_or((ptr::null(), 0), |text| (text.as_ptr(), text.count_bytes()))
        };
        let (path, path_len) = text(path);
        let (name, name_len) = text(name);
        let (moved_from, moved_from_len) = text(moved_from);
        asyncinotify_event {
            watch: 7,
            wd: 3,
            mask: 0x100,
            cookie: 9,
            flags: 1,
            error: 0,
            reserved0: 0,
            name,
            name_len,
            path,
            path_len,
            moved_from,
            moved_from_len,
            userdata: ptr::without_provenance_mut(5),
            reserved: [0; 4],
        }
    }

    /// Copies an event. Returns the three strings of the copy, and whether its name lies in its path.
    fn copied(event: &asyncinotify_event) -> ([Option<Vec<u8>>; 3], bool) {
        // SAFETY: the event's strings are static.
        let block = unsafe { copy(event) }.unwrap();
        // SAFETY: the block was just made, and nobody else has it.
        let copy = unsafe { &*block };
        assert_eq!(
            (copy.watch, copy.wd, copy.mask, copy.cookie, copy.flags),
            (7, 3, 0x100, 9, 1)
        );
        assert_eq!(copy.userdata.addr(), 5);
        let texts = [
            (copy.path, copy.path_len),
            (copy.name, copy.name_len),
            (copy.moved_from, copy.moved_from_len),
        ];
        let texts = texts.map(|(text, len)| {
            // SAFETY: each string of the copy is NULL or NUL-terminated.
            let text =
                (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_bytes().to_vec());
            assert_eq!(text.as_ref().map_or(0, Vec::len), len);
            text
        });
        let inside = copy.path_len > 0
            && (copy.path.addr()..copy.path.addr() + copy.path_len).contains(&copy.name.addr());
        // SAFETY: the copy is freed once, and NULL may be freed.
        unsafe {
            free(block);
            free(ptr::null_mut());
        }
        (texts, inside)
    }

    #[test]
    fn a_copy_has_all_strings() {
        let path = c"/tmp/a/name";
        let name = Some(&path[7..]);
        let some = |text: &str| Some(text.as_bytes().to_vec());
        assert_eq!(
            copied(&event(Some(path), name, None)),
            ([some("/tmp/a/name"), some("name"), None], true)
        );
        assert_eq!(
            copied(&event(Some(path), name, Some(c"old"))),
            ([some("/tmp/a/name"), some("name"), some("old")], true)
        );
        assert_eq!(
            copied(&event(Some(path), None, None)),
            ([some("/tmp/a/name"), None, None], false)
        );
        assert_eq!(
            copied(&event(None, Some(c"name"), None)),
            ([None, some("name"), None], false)
        );
        assert_eq!(
            copied(&event(Some(path), Some(c"name"), None)),
            ([some("/tmp/a/name"), some("name"), None], false)
        );
        assert_eq!(
            copied(&event(None, None, None)),
            ([None, None, None], false)
        );
        assert_eq!(
            copied(&event(Some(c""), Some(c""), None)),
            ([some(""), some(""), None], false)
        );
    }
}
