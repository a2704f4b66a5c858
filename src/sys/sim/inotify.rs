//! The inotify instance of the simulated kernel, with the functions of `sys::linux::inotify`.

use super::files::{Descriptor, File, look_up};
use super::inodes::DentryId;
use super::schedule::{CallKind, Preview, enter};
use super::watches::Instance;
use super::{Kernel, with_kernel};
use crate::mask::{InitFlags, Mask};
use crate::sys::Sys;
use std::ffi::CStr;

/// The largest event the kernel makes: header, NAME_MAX bytes and a NUL.
pub(crate) const MAX_EVENT: usize = size_of::<libc::inotify_event>() + libc::NAME_MAX as usize + 1;

pub(crate) struct InotifyFd {
    fd: Descriptor,
    blocking: bool,
}

impl InotifyFd {
    pub(crate) fn new(flags: InitFlags) -> Sys<InotifyFd> {
        enter(CallKind::Init, |_| Preview::default())?;
        let fd = with_kernel(|kernel| {
            kernel.check_descriptors()?;
            let instance = kernel.instances.add(Instance::default());
            Ok::<_, i32>(kernel.open_file_as(File::Instance(instance)))
        })?;
        Ok(InotifyFd {
            fd,
            blocking: !flags.contains(InitFlags::NONBLOCK),
        })
    }

    /// Whether read(2) on the fd waits, as it was opened.
    pub(crate) fn is_blocking(&self) -> bool {
        self.blocking
    }

    /// Adds a watch or changes one; the wd.
    pub(crate) fn add(&self, path: &CStr, mask: Mask) -> Sys<i32> {
        self.add_path(path.to_bytes(), mask)
    }

    /// The same with a path of which is only known that a NUL is at its end.
    pub(crate) fn add_terminated(&self, path: &[u8], mask: Mask) -> Sys<i32> {
        if path.last() != Some(&0) {
            return Err(libc::EINVAL);
        }
        let path = CStr::from_bytes_until_nul(path).map_err(|_| libc::EINVAL)?;
        self.add_path(path.to_bytes(), mask)
    }

    fn add_path(&self, path: &[u8], mask: Mask) -> Sys<i32> {
        let follow = !mask.contains(Mask::DONT_FOLLOW);
        let valid = check_mask(mask);
        enter(CallKind::AddWatch, |kernel| match valid {
            Ok(()) => kernel.preview_add(None, path, follow),
            Err(_) => Preview::default(),
        })?;
        valid?;
        self.add_found(look_up(None, path, follow)?, mask)
    }

    /// Watches what a look-up has found and holds.
    fn add_found(&self, dentry: DentryId, mask: Mask) -> Sys<i32> {
        with_kernel(|kernel| {
            let result = self.mark(kernel, dentry, mask);
            kernel.put_at_once(dentry);
            result
        })
    }

    fn mark(&self, kernel: &mut Kernel, dentry: DentryId, mask: Mask) -> Sys<i32> {
        if mask.contains(Mask::ONLYDIR) && !kernel.is_directory(dentry) {
            return Err(libc::ENOTDIR);
        }
        kernel.may_read(dentry)?;
        let instance = kernel.instance_at(self.fd.number());
        let inode = kernel.dentries[dentry].inode;
        kernel.mark(instance, inode, mask.bits())
    }

    pub(crate) fn rm(&self, wd: i32) -> Sys<()> {
        enter(CallKind::RmWatch, |kernel| {
            kernel.preview_wd(self.fd.number(), wd, true)
        })?;
        with_kernel(|kernel| kernel.remove_watch(kernel.instance_at(self.fd.number()), wd))
    }

    /// Whether the kernel still has a watch; None where there is no /proc to tell.
    pub(crate) fn holds(&self, wd: i32) -> Option<bool> {
        let number = self.fd.number();
        enter(CallKind::Holds, |kernel| {
            kernel.preview_wd(number, wd, false)
        })
        .ok()?;
        with_kernel(|kernel| {
            let instance = &kernel.instances[kernel.instance_at(self.fd.number())];
            kernel.proc.then(|| instance.watches.contains_key(&wd))
        })
    }

    /// Appends at most `max` bytes of whole events to `buffer`, without ever blocking; how many. 0: none is queued.
    pub(crate) fn read(&self, buffer: &mut Vec<u8>, max: usize) -> Sys<usize> {
        loop {
            let entered = enter(CallKind::Read, |_| Preview {
                reads_queue: true,
                ..Preview::default()
            });
            match entered {
                Ok(()) => break,
                Err(libc::EAGAIN) => return Ok(0),
                Err(libc::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        with_kernel(|kernel| {
            let instance = kernel.instance_at(self.fd.number());
            kernel.instances[instance].queue.read(buffer, max)
        })
    }

    /// How many bytes are queued.
    pub(crate) fn queued(&self) -> usize {
        let entered = enter(CallKind::Queued, |_| Preview {
            reads_queue: true,
            ..Preview::default()
        });
        if entered.is_err() {
            return 0;
        }
        with_kernel(|kernel| {
            let instance = kernel.instance_at(self.fd.number());
            kernel.instances[instance].queue.bytes()
        })
    }
}

/// inotify_add_watch(2) of /proc/thread-self/fd/N: the open directory itself, whatever its path is.
pub(super) fn add_open(inotify: &InotifyFd, directory: &Descriptor, mask: Mask) -> Sys<i32> {
    enter(CallKind::AddWatch, |kernel| {
        kernel.preview_add_open(directory.number())
    })?;
    check_mask(mask)?;
    with_kernel(|kernel| {
        if !kernel.proc {
            return Err(libc::ENOENT);
        }
        let dentry = kernel.directory_at(directory.number());
        inotify.mark(kernel, dentry, mask)
    })
}

/// inotify_add_watch(2) of /proc/thread-self/fd/N/NAME: what has that name in the open directory.
pub(super) fn add_child(
    inotify: &InotifyFd,
    directory: &Descriptor,
    name: &[u8],
    mask: Mask,
) -> Sys<i32> {
    let (base, follow) = (Some(directory.number()), !mask.contains(Mask::DONT_FOLLOW));
    enter(CallKind::AddWatch, |kernel| {
        kernel.preview_add(base, name, follow)
    })?;
    check_mask(mask)?;
    if with_kernel(|kernel| !kernel.proc) {
        return Err(libc::ENOENT);
    }
    inotify.add_found(look_up(base, name, follow)?, mask)
}

fn check_mask(mask: Mask) -> Sys<()> {
    let bits = mask.bits();
    let is_known = bits != 0 && bits & !Mask::all().bits() == 0;
    let is_contradiction = mask.contains(Mask::MASK_ADD | Mask::MASK_CREATE);
    match is_known && !is_contradiction {
        true => Ok(()),
        false => Err(libc::EINVAL),
    }
}
