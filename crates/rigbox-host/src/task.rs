//! Work that blocks, off the threads that carry everything else.

/// Runs work that waits for the disk or the kernel.
///
/// A panic in it goes on in the caller: it is a bug, not an outcome.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only a runtime that is being dropped cancels it, and nobody waits then.
            Err(_) => std::future::pending().await,
        },
    }
}
