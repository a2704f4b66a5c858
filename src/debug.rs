//! Lines for whoever looks for a fault: what an instance reads, what it does, what the kernel answers.
//!
//! They go to stderr where the environment asks for them with ASYNCINOTIFY_DEBUG=1. All are formatted here.

#[cfg(not(simulation))]
use crate::fixed_text::FixedText;
#[cfg(not(simulation))]
use crate::memory::Room;
use std::fmt;
#[cfg(not(simulation))]
use std::fmt::Write as _;
#[cfg(not(simulation))]
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

#[cfg(not(simulation))]
static IS_ON: AtomicBool = AtomicBool::new(false);

/// Where an instance says what it does, under its number in the process.
#[derive(Clone, Copy, Default)]
pub(crate) struct Log {
    instance: u32,
}

#[cfg(not(simulation))]
impl Log {
    /// That of a new instance. The first one looks at the environment.
    pub(crate) fn new() -> Log {
        static LOOK: std::sync::Once = std::sync::Once::new();
        static LAST: AtomicU32 = AtomicU32::new(0);
        LOOK.call_once(|| IS_ON.store(is_asked_for(), Ordering::Relaxed));
        Log {
            instance: LAST.fetch_add(1, Ordering::Relaxed) + 1,
        }
    }

    #[inline]
    pub(crate) fn is_on(self) -> bool {
        IS_ON.load(Ordering::Relaxed)
    }

    /// Writes a line, in one piece and cut off where it is very long. Where it can't be written it is lost.
    #[cold]
    pub(crate) fn print(self, what: fmt::Arguments<'_>) {
        const LONGEST: usize = 4096;
        let now = std::time::SystemTime::now();
        let now = now.duration_since(std::time::UNIX_EPOCH);
        let now = now.unwrap_or_default();
        let (seconds, micros) = (now.as_secs(), now.subsec_micros());
        let mut line = FixedText::<LONGEST>::new();
        let _ = write!(line, "asyncinotify {seconds}.{micros:06} {self} {what}");
        let _ = crate::sys::output::write_all(libc::STDERR_FILENO, line.as_line());
    }
}

#[cfg(simulation)]
thread_local! {
    static SINK: std::cell::RefCell<Option<Sink>> = const { std::cell::RefCell::new(None) };
}

/// Who takes the lines in the simulation.
#[cfg(simulation)]
pub type Sink = Box<dyn FnMut(String)>;

/// Sets who takes the lines of this thread.
#[cfg(simulation)]
pub fn set_log(sink: Option<Sink>) {
    let old = SINK.replace(sink);
    drop(old);
}

#[cfg(simulation)]
impl Log {
    pub(crate) fn new() -> Log {
        Log::default()
    }

    pub(crate) fn is_on(self) -> bool {
        SINK.with_borrow(Option::is_some)
    }

    pub(crate) fn print(self, what: fmt::Arguments<'_>) {
        crate::memory::outside(|| {
            SINK.with_borrow_mut(|sink| {
                if let Some(sink) = sink {
                    sink(what.to_string());
                }
            });
        });
    }
}

/// A text for people that may become long: writing fails where there is no memory for it.
#[cfg(not(simulation))]
#[derive(Default)]
pub(crate) struct Report(Vec<u8>);

#[cfg(not(simulation))]
impl Report {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(not(simulation))]
impl fmt::Write for Report {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.make_room(text.len()).map_err(|_| fmt::Error)?;
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.instance)
    }
}

#[cfg(not(simulation))]
fn is_asked_for() -> bool {
    let value = std::env::var_os("ASYNCINOTIFY_DEBUG");
    let asked = value.is_some_and(|value| !value.is_empty() && value != "0");
    asked && !crate::sys::output::is_privileged()
}

/// Prints a line like `println!`, if lines are asked for; else its arguments are not looked at.
macro_rules! debug {
    ($log:expr, $($what:tt)+) => {{
        let log: $crate::debug::Log = $log;
        if log.is_on() {
            log.print(format_args!($($what)+));
        }
    }};
}
pub(crate) use debug;

/// Bytes of a path or a name, between quotes and escaped.
pub(crate) struct Quoted<T>(pub(crate) T);

impl<T: AsRef<[u8]>> fmt::Display for Quoted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.as_ref().escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_any_kind_stay_on_one_line() {
        assert_eq!(Quoted(b"d/a b").to_string(), "\"d/a b\"");
        assert_eq!(Quoted(b"\xff\n\"\\").to_string(), r#""\xff\n\"\\""#);
    }
}
