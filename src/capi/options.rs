//! The options of a recursive watch on their way from C to the core.

use std::ptr;

use super::failure::{Failure, Result};
use super::filter::Owner;
use super::instance::Call;
use super::types::recursive::asyncinotify_recursive_options;
use crate::memory::Shared;
use crate::{RecursiveFlags, RecursiveOptions};

/// The first version of the options has this size. Programs that were compiled against that version go on working.
const FIRST_SIZE: usize = size_of::<asyncinotify_recursive_options>();
/// No version will be larger than this. A program whose `size` is larger has not set it at all.
const MAX_SIZE: usize = 4096;

/// Reads options of any version; NULL becomes `None`.
///
/// # Safety
/// `options` is NULL or points to as many readable bytes as its first field says.
pub(crate) unsafe fn read(
    options: *const asyncinotify_recursive_options,
) -> Result<Option<asyncinotify_recursive_options>> {
    if options.is_null() {
        return Ok(None);
    }
    if !options.is_aligned() {
        return Err(Failure::argument("opts", "is not an aligned pointer"));
    }
    // SAFETY: the pointer is neither NULL nor unaligned, and every version has the field `size`.
    let size = unsafe { (*options).size };
    if size < FIRST_SIZE {
        return Err(Failure::argument(
            "opts",
            "has a `size` that is too small: set it to sizeof",
        ));
    }
    // There may be fields that this version doesn't know, as long as they ask for nothing.
    let unknown_is_zero = size <= MAX_SIZE && {
        // SAFETY: `size` bytes are readable by the caller's promise.
        let bytes = unsafe { std::slice::from_raw_parts(options.cast::<u8>(), size) };
        bytes[FIRST_SIZE..].iter().all(|&byte| byte == 0)
    };
    if !unknown_is_zero {
        let message = "`opts` asks for something that this version of the library does not know";
        return Err(Failure::new(libc::E2BIG, message));
    }
    // SAFETY: at least FIRST_SIZE bytes are readable, and this struct has no more. All bytes are valid for all its fields
    // but the function pointers, which are NULL or functions by the header's demand.
    Ok(Some(unsafe { ptr::read(options) }))
}

/// Turns options into those of the core, and into the owner of their filter if there is one.
pub(crate) fn to_core(
    options: &Option<asyncinotify_recursive_options>,
    call: &Call,
) -> Result<(RecursiveOptions, Option<Shared<Owner>>)> {
    let Some(options) = options else {
        return Ok((RecursiveOptions::default(), None));
    };
    let flags = RecursiveFlags::from_bits(options.flags)
        .ok_or_else(|| Failure::argument("opts", "has unknown bits in `flags`"))?;
    let (userdata, destroy) = (options.filter_userdata, options.filter_destroy);
    let owner = match options.filter {
        Some(filter) => {
            let owner = Owner::new(call, filter, userdata, destroy).map_err(no_memory)?;
            Some(owner)
        }
        None if destroy.is_none() => None,
        None => {
            let problem = "has a `filter_destroy` without a `filter`";
            return Err(Failure::argument("opts", problem));
        }
    };
    let for_core = RecursiveOptions {
        flags,
        max_depth: options.max_depth,
        filter: owner
            .as_ref()
            .map(Owner::to_core)
            .transpose()
            .map_err(no_memory)?,
    };
    Ok((for_core, owner))
}

fn no_memory(errno: i32) -> Failure {
    Failure::new(errno, "no memory for a filter")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Options of a later version, with a tail that this one does not know.
    #[repr(C)]
    struct Later {
        known: asyncinotify_recursive_options,
        tail: [u8; 16],
    }

    fn later(size: usize, tail: u8) -> Later {
        let known = asyncinotify_recursive_options {
            size,
            flags: RecursiveFlags::BACKGROUND.bits(),
            max_depth: 3,
            filter: None,
            filter_userdata: ptr::null_mut(),
            filter_destroy: None,
        };
        let mut bytes = [0; 16];
        bytes[15] = tail;
        Later { known, tail: bytes }
    }

    fn read(options: &Later) -> std::result::Result<u32, i32> {
        // SAFETY: readable for the size it says, or refused before.
        let result = unsafe { super::read(ptr::from_ref(options).cast()) };
        result
            .map(|options| options.unwrap().max_depth)
            .map_err(|failure| failure.errno())
    }

    #[test]
    fn options_of_every_version_are_read() {
        assert_eq!(read(&later(FIRST_SIZE, 0)), Ok(3));
        assert_eq!(
            read(&later(FIRST_SIZE, 1)),
            Ok(3),
            "a tail beyond `size` is not looked at"
        );
        assert_eq!(read(&later(FIRST_SIZE + 15, 1)), Ok(3));
        assert_eq!(read(&later(FIRST_SIZE + 16, 0)), Ok(3));
        assert_eq!(read(&later(FIRST_SIZE + 16, 1)), Err(libc::E2BIG));
        assert_eq!(read(&later(FIRST_SIZE - 1, 0)), Err(libc::EINVAL));
        assert_eq!(read(&later(0, 0)), Err(libc::EINVAL));
        assert_eq!(read(&later(MAX_SIZE + 1, 0)), Err(libc::E2BIG));
        assert_eq!(read(&later(usize::MAX, 0)), Err(libc::E2BIG));
    }

    #[test]
    fn no_options_are_the_defaults() {
        // SAFETY: NULL is allowed, and the unaligned pointer is refused before it is read.
        unsafe {
            assert!(super::read(ptr::null()).unwrap().is_none());
            let odd = ptr::without_provenance(0x1001);
            assert_eq!(super::read(odd).err().unwrap().errno(), libc::EINVAL);
        }
    }
}
