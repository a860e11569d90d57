//! The seam at which tests let a file system hang, fail, or change a file while it is read.
//!
//! A fault is tied to a directory, so that tests of one process don't disturb each other. Without any, the cost is
//! one look at a flag for each read.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

static ANY_INJECTED: AtomicBool = AtomicBool::new(false);
static FAULTS: RwLock<Vec<(PathBuf, Arc<dyn FileFault>)>> = RwLock::new(Vec::new());

/// What happens to a file just before the system is asked for it.
pub trait FileFault: Send + Sync {
    /// Before it is opened.
    ///
    /// # Errors
    /// What the opening is to fail with.
    fn before_open(&self, path: &Path) -> io::Result<()> {
        let _ = path;
        Ok(())
    }

    /// Before what was written to it is synced.
    ///
    /// # Errors
    /// What the syncing is to fail with.
    fn before_sync(&self, path: &Path) -> io::Result<()> {
        let _ = path;
        Ok(())
    }

    /// Before a piece of it is read.
    ///
    /// # Errors
    /// What the reading is to fail with.
    fn before_read(&self, path: &Path) -> io::Result<()> {
        let _ = path;
        Ok(())
    }
}

/// Takes its fault away when it is dropped.
#[must_use]
pub struct InjectedFault(Arc<dyn FileFault>);

/// Lets `fault` happen to every file at `path` or below it.
pub fn inject_fault(path: &Path, fault: Arc<dyn FileFault>) -> InjectedFault {
    let mut faults = FAULTS.write().unwrap_or_else(PoisonError::into_inner);
    faults.push((path.to_owned(), Arc::clone(&fault)));
    ANY_INJECTED.store(true, Ordering::Relaxed);
    InjectedFault(fault)
}

impl Drop for InjectedFault {
    fn drop(&mut self) {
        let mut faults = FAULTS.write().unwrap_or_else(PoisonError::into_inner);
        faults.retain(|(_, fault)| !Arc::ptr_eq(fault, &self.0));
    }
}

pub(super) fn before_open(path: &Path) -> io::Result<()> {
    apply_faults(path, |fault| fault.before_open(path))
}

/// To be called by what reads a file other than by this module.
///
/// # Errors
/// What a test wants the reading to fail with.
pub fn before_read(path: &Path) -> io::Result<()> {
    apply_faults(path, |fault| fault.before_read(path))
}

/// To be called by what writes a file that others may read, just before it is synced.
///
/// # Errors
/// What a test wants the syncing to fail with.
pub fn before_sync(path: &Path) -> io::Result<()> {
    apply_faults(path, |fault| fault.before_sync(path))
}

fn apply_faults(path: &Path, happen: impl Fn(&dyn FileFault) -> io::Result<()>) -> io::Result<()> {
    if !ANY_INJECTED.load(Ordering::Relaxed) {
        return Ok(());
    }
    // The fault may take long, so the list is not held meanwhile.
    let faults = FAULTS.read().unwrap_or_else(PoisonError::into_inner).clone();
    faults.iter().filter(|(below, _)| path.starts_with(below)).try_for_each(|(_, fault)| happen(&**fault))
}
