//! A disk that fails on demand. The daemon's tests include this file too.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Disk, SegmentFile, SystemDisk};

/// How operations fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DiskFault {
    /// Nothing more fits: files cannot be made or written.
    Full,
    /// Nothing works.
    Broken,
    /// Half of what is to be written is, and cannot be cut off.
    Short,
    /// Only syncing fails.
    Unsynced,
}

impl DiskFault {
    pub(crate) const ALL: [Self; 4] = [Self::Full, Self::Broken, Self::Short, Self::Unsynced];
}

/// Counts what is asked of it, and lets some of that fail.
#[derive(Debug, Clone, Default)]
pub(crate) struct FaultyDisk(Arc<Mutex<FaultPlan>>);

#[derive(Debug, Default)]
struct FaultPlan {
    operation_count: u64,
    failing: Option<(DiskFault, Range<u64>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DiskOperation {
    Create,
    Write,
    Sync,
    Truncate,
}

impl FaultyDisk {
    /// Lets those operations fail, counted from the first that it was ever asked for.
    pub(crate) fn fail_range(&self, fault: DiskFault, which: Range<u64>) {
        self.plan().failing = Some((fault, which));
    }

    /// Lets everything fail from now on.
    pub(crate) fn fail_from_now(&self, fault: DiskFault) {
        let mut plan = self.plan();
        plan.failing = Some((fault, plan.operation_count..u64::MAX));
    }

    pub(crate) fn heal(&self) {
        self.plan().failing = None;
    }

    /// How many operations it was asked for.
    pub(crate) fn operation_count(&self) -> u64 {
        self.plan().operation_count
    }

    fn plan(&self) -> MutexGuard<'_, FaultPlan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fault that meets this operation.
    fn fault_for(&self, act: DiskOperation) -> Option<DiskFault> {
        let mut plan = self.plan();
        let number = plan.operation_count;
        plan.operation_count += 1;
        let (fault, which) = plan.failing.as_ref()?;
        let fails = match fault {
            DiskFault::Full => matches!(act, DiskOperation::Create | DiskOperation::Write),
            DiskFault::Broken => true,
            DiskFault::Short => matches!(act, DiskOperation::Write | DiskOperation::Truncate),
            DiskFault::Unsynced => act == DiskOperation::Sync,
        };
        (fails && which.contains(&number)).then_some(*fault)
    }

    fn check_operation(&self, act: DiskOperation) -> io::Result<()> {
        match self.fault_for(act) {
            None => Ok(()),
            Some(DiskFault::Full) => Err(io::ErrorKind::StorageFull.into()),
            Some(DiskFault::Broken | DiskFault::Short | DiskFault::Unsynced) => {
                Err(io::Error::other("the disk failed"))
            }
        }
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        self.check_operation(DiskOperation::Create)?;
        Ok(Box::new(FaultyFile { disk: self.clone(), lines: SystemDisk.create(path)? }))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        SystemDisk.remove(path)
    }

    fn sync_name(&self, _: &Path) -> io::Result<()> {
        self.check_operation(DiskOperation::Sync)
    }
}

#[derive(Debug)]
struct FaultyFile {
    disk: FaultyDisk,
    lines: Box<dyn SegmentFile>,
}

impl SegmentFile for FaultyFile {
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self.disk.fault_for(DiskOperation::Write) {
            None => self.lines.write(bytes),
            Some(DiskFault::Short) => self.lines.write(&bytes[..bytes.len() / 2]),
            Some(DiskFault::Full) => Err(io::ErrorKind::StorageFull.into()),
            Some(DiskFault::Broken | DiskFault::Unsynced) => Err(io::Error::other("the disk failed")),
        }
    }

    /// No test cuts the power, so that nothing need wait for the real disk.
    fn sync(&self) -> io::Result<()> {
        self.disk.check_operation(DiskOperation::Sync)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.disk.check_operation(DiskOperation::Truncate)?;
        self.lines.truncate(length)
    }

    fn is_gone(&self) -> io::Result<bool> {
        self.lines.is_gone()
    }
}
