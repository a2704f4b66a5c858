//! What an instance knows, written out as text.

use super::inotify::Inotify;
use crate::advice::Call;
use crate::debug::Report;
use crate::error::{Error, Result};
use crate::sys::output;
use std::fmt::{self, Write as _};
use std::os::fd::RawFd;

impl Inotify {
    /// Writes what the instance knows to `fd`, for people. Nothing is locked while it writes.
    pub fn debug_dump(&self, fd: RawFd) -> Result<()> {
        let no_memory = |_| Error::new(libc::ENOMEM, "no memory for the dump");
        let mut text = Report::default();
        self.dump_itself(&mut text).map_err(no_memory)?;
        self.with_state(|state| state.dump(&mut text).map_err(no_memory))?;
        let written = output::write_all(fd, text.as_bytes());
        written.map_err(|errno| Call::Write.failed(errno, None))
    }

    fn dump_itself(&self, text: &mut Report) -> fmt::Result {
        let (version, process) = (env!("CARGO_PKG_VERSION"), std::process::id());
        writeln!(
            text,
            "asyncinotify {version}: instance {}, process {process}",
            self.log
        )?;
        let (inotify, pollable) = (self.raw_fd(), self.fd());
        writeln!(text, "fds: inotify {inotify}, pollable {pollable}")?;
        writeln!(
            text,
            "settings: {}, cache_size {}, sync_timeout {:?}",
            match self.is_blocking() {
                true => "blocking",
                false => "non-blocking",
            },
            self.cache_size(),
            self.sync_timeout()
        )?;
        write!(
            text,
            "consumer: the pollable fd is {}readable for what is in user space, ",
            if self.is_ready() { "" } else { "not " }
        )?;
        match self.reader.own_briefly() {
            Some(mut reader) => writeln!(text, "{} events ready", reader.with(|it| it.len())),
            None => writeln!(text, "another thread is taking events"),
        }
    }
}
