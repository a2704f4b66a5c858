//! Directories of the simulated kernel, with the functions of `sys::linux::directory`.

use super::inotify::InotifyFd;
use crate::mask::Mask;
use crate::sys::Sys;
use crate::sys::dirent::{Chunk, Kind};
use std::ffi::CStr;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Identity {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// To list it. Like any open, watches for OPEN see it.
    List,
    /// As an anchor only; no watch sees it.
    Anchor,
}

/// An open directory.
pub(crate) struct Directory {}

impl Directory {
    pub(crate) fn open(
        _base: Option<&Directory>,
        _path: &[u8],
        _access: Access,
        _follow: bool,
    ) -> Sys<Directory> {
        todo!()
    }

    pub(crate) fn open_child(&self, _name: &CStr) -> Sys<Directory> {
        todo!()
    }

    pub(crate) fn identity(&self) -> Sys<Identity> {
        todo!()
    }

    pub(crate) fn wait_for_renames(&self) -> Sys<()> {
        todo!()
    }

    pub(crate) fn read(&self, _buffer: &mut Vec<u8>) -> Sys<Chunk> {
        todo!()
    }

    pub(crate) fn kind_of(&self, _name: &CStr) -> Sys<Kind> {
        todo!()
    }

    pub(crate) fn watch(&self, _inotify: &InotifyFd, _path: &[u8], _mask: Mask) -> Sys<i32> {
        todo!()
    }
}
