//! The fake Telegram for tests that have no runtime of their own.

use std::thread::JoinHandle;

use crate::fake_telegram::FakeTelegram;

/// Telegram, on a thread of its own, since these tests have no runtime.
pub(crate) struct BackgroundTelegram {
    bot: Option<FakeTelegram>,
    runtime: tokio::runtime::Handle,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    running: Option<JoinHandle<()>>,
}

impl BackgroundTelegram {
    pub(crate) fn start() -> Self {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
        let handle = runtime.handle().clone();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let bot = runtime.block_on(FakeTelegram::start());
        let running = std::thread::spawn(move || drop(runtime.block_on(stopped)));
        Self { bot: Some(bot), runtime: handle, stop: Some(stop), running: Some(running) }
    }

    pub(crate) fn fake(&self) -> &FakeTelegram {
        self.bot.as_ref().expect("it is there until it is dropped")
    }

    /// Waits for what happens beside Telegram's thread.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }
}

impl Drop for BackgroundTelegram {
    fn drop(&mut self) {
        drop(self.bot.take());
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(running) = self.running.take() {
            let _ = running.join();
        }
    }
}
