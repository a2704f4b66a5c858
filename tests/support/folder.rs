//! A folder of the test's own, gone when it is dropped.

use std::ffi::CString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

pub struct Folder(PathBuf);

impl Folder {
    /// A fresh folder in the system's folder for temporary files.
    pub fn new(name: &str) -> Folder {
        Folder::in_dir(&std::env::temp_dir(), name)
    }

    pub fn in_dir(parent: &Path, name: &str) -> Folder {
        let template = parent.join(format!("asyncinotify-{name}-XXXXXX"));
        let mut template = CString::new(template.into_os_string().into_vec())
            .expect("no NUL in the path")
            .into_bytes_with_nul();
        // SAFETY: the template is NUL-terminated and writable.
        let made = unsafe { libc::mkdtemp(template.as_mut_ptr().cast()) };
        assert!(
            !made.is_null(),
            "mkdtemp in {}: {}",
            parent.display(),
            std::io::Error::last_os_error()
        );
        template.pop();
        let path = PathBuf::from(std::ffi::OsString::from_vec(template));
        // The tests compare whole paths: take the folder's real one.
        Folder(path.canonicalize().expect("the folder was just made"))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A test may have taken the folder away itself, or a directory's permissions.
        if std::fs::remove_dir_all(&self.0).is_err() && self.0.exists() {
            permit(&self.0);
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

fn permit(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let _ = std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700));
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            permit(&entry.path());
        }
    }
}

pub fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("no NUL in a path")
}
