//! Instances, and how a call comes to one by its handle.

use std::ffi::c_void;
use std::ptr;

use super::attachments::Attachments;
use super::destroy::Retired;
use super::failure::{Failure, Result};
use super::handle::{Entered, HandleTable};
use super::panic::{ErrnoReturn, boundary};
use super::types::event::asyncinotify_callback;
use super::types::inotify::asyncinotify;
use super::types::watch::asyncinotify_destroy;
use crate::memory::Shared;
use crate::{InitFlags, Inotify, WatchId};

/// An instance is what a handle stands for: the core's inotify, and what C has attached to its watches.
pub(crate) struct Instance {
    // This field comes first so that it is dropped first: the filters it drops still put their userdata into `retired`.
    inotify: Inotify,
    attachments: Attachments,
    retired: Shared<Retired>,
}

impl Instance {
    #[inline]
    pub(crate) fn inotify(&self) -> &Inotify {
        &self.inotify
    }

    #[inline]
    pub(crate) fn attachments(&self) -> &Attachments {
        &self.attachments
    }

    /// The filters of this instance leave their userdata here.
    pub(crate) fn retired(&self) -> Shared<Retired> {
        self.retired.clone()
    }

    /// Attaches userdata to a watch; the userdata that it replaces is destroyed before this returns.
    pub(crate) fn set_userdata(
        &self,
        watch: WatchId,
        userdata: *mut c_void,
        destroy: asyncinotify_destroy,
    ) -> Result<()> {
        let replaced = self
            .attachments
            .set_userdata(watch, userdata, destroy, || self.check(watch))?;
        drop(replaced);
        Ok(())
    }

    /// Attaches a callback to a watch, or takes it away.
    pub(crate) fn set_callback(
        &self,
        watch: WatchId,
        callback: asyncinotify_callback,
    ) -> Result<()> {
        self.attachments
            .set_callback(watch, callback, || self.check(watch))
    }

    /// Returns the userdata of a watch, or NULL if it has none.
    pub(crate) fn userdata(&self, watch: WatchId) -> Result<*mut c_void> {
        self.check(watch)?;
        Ok(self.attachments.userdata(watch))
    }

    /// Fails if this instance has no such watch, or if its last event has been taken.
    fn check(&self, watch: WatchId) -> Result<()> {
        self.inotify.watch_is_active(watch)?;
        Ok(())
    }
}

static HANDLES: HandleTable<Instance> = HandleTable::new();

/// A call is under way on a handle that was open when it began.
pub(crate) type Call = Entered<'static, Instance>;

impl Call {
    /// Returns the handle, for callbacks.
    #[inline]
    pub(crate) fn handle(&self) -> *mut asyncinotify {
        ptr::without_provenance_mut(self.token())
    }
}

/// Opens an instance and returns its handle.
pub(crate) fn open(flags: InitFlags) -> Result<*mut asyncinotify> {
    let instance = Instance {
        inotify: Inotify::new(flags)?,
        attachments: Attachments::new(),
        retired: Shared::new(Retired::default()).map_err(not_opened)?,
    };
    let token = HANDLES.open(instance).map_err(not_opened)?;
    Ok(ptr::without_provenance_mut(token))
}

fn not_opened(errno: i32) -> Failure {
    let text = match errno {
        libc::ENFILE => "this process has as many handles as there can be",
        _ => "no memory for a handle",
    };
    Failure::new(errno, text)
}

/// Closes a handle. Its instance is dropped by the last call to leave it.
pub(crate) fn close(handle: *const asyncinotify) -> Result<()> {
    let call = HANDLES
        .close(handle.addr())
        .ok_or_else(|| not_open(handle))?;
    call.inotify.close();
    call.attachments.close();
    Ok(())
}

#[inline]
fn enter(handle: *const asyncinotify) -> Result<Call> {
    HANDLES.enter(handle.addr()).ok_or_else(|| not_open(handle))
}

/// Enters a call that has to be async-signal-safe; returns `None` if the handle is not open.
#[inline]
pub(crate) fn enter_from_signal(
    handle: *const asyncinotify,
) -> Option<Entered<'static, Instance, false>> {
    HANDLES.enter_from_signal(handle.addr())
}

#[cold]
fn not_open(handle: *const asyncinotify) -> Failure {
    match handle.is_null() {
        true => Failure::null("self"),
        false => Failure::argument(
            "self",
            "is not an open handle (closed already, or never one)",
        ),
    }
}

/// Runs the body of the exported function `name` on a handle.
#[inline]
pub(crate) fn on_handle<R: ErrnoReturn>(
    name: &'static str,
    handle: *const asyncinotify,
    body: impl FnOnce(&Call) -> Result<R>,
) -> R {
    boundary(name, || {
        let call = enter(handle)?;
        let result = body(&call);
        call.retired.run();
        result
    })
}
