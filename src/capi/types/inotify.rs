//! The type of section INSTANCE.

/// An open instance. Opaque: a token that the library looks up, not an address.
pub struct asyncinotify {
    _private: [u8; 0],
}
