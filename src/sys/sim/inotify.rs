//! The inotify instance of the simulated kernel, with the functions of `sys::linux::inotify`.

use crate::mask::{InitFlags, Mask};
use crate::sys::Sys;
use std::ffi::CStr;

pub(crate) const MAX_EVENT: usize = size_of::<libc::inotify_event>() + libc::NAME_MAX as usize + 1;

pub(crate) struct InotifyFd {}

impl InotifyFd {
    pub(crate) fn new(_flags: InitFlags) -> Sys<InotifyFd> {
        todo!()
    }

    pub(crate) fn is_blocking(&self) -> bool {
        todo!()
    }

    pub(crate) fn add(&self, _path: &CStr, _mask: Mask) -> Sys<i32> {
        todo!()
    }

    pub(crate) fn add_terminated(&self, _path: &[u8], _mask: Mask) -> Sys<i32> {
        todo!()
    }

    pub(crate) fn rm(&self, _wd: i32) -> Sys<()> {
        todo!()
    }

    pub(crate) fn holds(&self, _wd: i32) -> Option<bool> {
        todo!()
    }

    pub(crate) fn read(&self, _buffer: &mut Vec<u8>, _max: usize) -> Sys<usize> {
        todo!()
    }

    pub(crate) fn queued(&self) -> usize {
        todo!()
    }
}
