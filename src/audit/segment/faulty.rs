//! A disk that fails when it is told to. The daemon's tests include this file too.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Disk, Lines, RealDisk};

/// How operations fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing more fits: files cannot be made or written.
    Full,
    /// Nothing works.
    Broken,
    /// Half of what is to be written is, and cannot be cut off.
    Short,
    /// Only syncing fails.
    Unsynced,
}

impl Fault {
    pub(crate) const ALL: [Self; 4] = [Self::Full, Self::Broken, Self::Short, Self::Unsynced];
}

/// Counts what is asked of it, and lets some of that fail.
#[derive(Debug, Clone, Default)]
pub(crate) struct FaultyDisk(Arc<Mutex<Plan>>);

#[derive(Debug, Default)]
struct Plan {
    asked: u64,
    failing: Option<(Fault, Range<u64>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Create,
    Write,
    Sync,
    Truncate,
}

impl FaultyDisk {
    /// Lets those operations fail, counted from the first that it was ever asked for.
    pub(crate) fn fail(&self, fault: Fault, which: Range<u64>) {
        self.plan().failing = Some((fault, which));
    }

    /// Lets everything fail from now on.
    pub(crate) fn fail_from_now(&self, fault: Fault) {
        let mut plan = self.plan();
        plan.failing = Some((fault, plan.asked..u64::MAX));
    }

    pub(crate) fn heal(&self) {
        self.plan().failing = None;
    }

    /// How many operations it was asked for.
    pub(crate) fn asked(&self) -> u64 {
        self.plan().asked
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fault that meets this operation.
    fn meet(&self, act: Act) -> Option<Fault> {
        let mut plan = self.plan();
        let number = plan.asked;
        plan.asked += 1;
        let (fault, which) = plan.failing.as_ref()?;
        let fails = match fault {
            Fault::Full => matches!(act, Act::Create | Act::Write),
            Fault::Broken => true,
            Fault::Short => matches!(act, Act::Write | Act::Truncate),
            Fault::Unsynced => act == Act::Sync,
        };
        (fails && which.contains(&number)).then_some(*fault)
    }

    fn pass(&self, act: Act) -> io::Result<()> {
        match self.meet(act) {
            None => Ok(()),
            Some(Fault::Full) => Err(io::ErrorKind::StorageFull.into()),
            Some(Fault::Broken | Fault::Short | Fault::Unsynced) => Err(io::Error::other("the disk failed")),
        }
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Lines>> {
        self.pass(Act::Create)?;
        Ok(Box::new(FaultyLines { disk: self.clone(), lines: RealDisk.create(path)? }))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn sync_name(&self, _: &Path) -> io::Result<()> {
        self.pass(Act::Sync)
    }
}

#[derive(Debug)]
struct FaultyLines {
    disk: FaultyDisk,
    lines: Box<dyn Lines>,
}

impl Lines for FaultyLines {
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self.disk.meet(Act::Write) {
            None => self.lines.write(bytes),
            Some(Fault::Short) => self.lines.write(&bytes[..bytes.len() / 2]),
            Some(Fault::Full) => Err(io::ErrorKind::StorageFull.into()),
            Some(Fault::Broken | Fault::Unsynced) => Err(io::Error::other("the disk failed")),
        }
    }

    /// No test cuts the power, so that nothing need wait for the real disk.
    fn sync(&self) -> io::Result<()> {
        self.disk.pass(Act::Sync)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.disk.pass(Act::Truncate)?;
        self.lines.truncate(length)
    }

    fn is_gone(&self) -> io::Result<bool> {
        self.lines.is_gone()
    }
}
