//! The peers: a server of the same HTTP parts that says hello and knows nothing, and a row that is
//! read by its key over the same database driver without a product around it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use axum::{Json, Router};
use serde_json::json;
use sqlx::{AnyPool, any::AnyPoolOptions};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{output::data, process::until_input_ends};

/// Connections of the query's pool: as many as the store has for reading.
const READERS: u32 = 4;

/// Says hello until standard input ends.
///
/// # Errors
/// When it cannot serve.
pub(crate) fn hello() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listen")?;
        data(&listener.local_addr()?.to_string());
        let shutdown = CancellationToken::new();
        until_input_ends(shutdown.clone());
        let router = Router::new().fallback(async || Json(json!({ "message": "hello" })));
        let served = axum::serve(listener, router);
        served.with_graceful_shutdown(shutdown.cancelled_owned()).await.context("serve")
    })
}

/// Rows by key.
#[derive(Clone)]
pub(crate) struct Query {
    pool: AnyPool,
}

impl Query {
    pub(crate) async fn open(url: &str) -> Result<Self> {
        sqlx::any::install_default_drivers();
        let url = match url.strip_prefix("sqlite:") {
            Some(path) => format!("sqlite://{path}"),
            None => url.to_owned(),
        };
        let pool = AnyPoolOptions::new().max_connections(READERS).connect(&url).await;
        Ok(Self { pool: pool.context("open the database without the store")? })
    }

    /// One after the other: how long each takes.
    pub(crate) async fn one_by_one(&self, ids: &[String], count: usize) -> Result<Vec<Duration>> {
        let mut took = Vec::with_capacity(count);
        for id in ids.iter().cycle().take(count) {
            let began = Instant::now();
            self.read(id).await?;
            took.push(began.elapsed());
        }
        Ok(took)
    }

    /// As many as the connections take: how many in a second.
    pub(crate) async fn full(&self, ids: &[String], time: Duration) -> Result<f64> {
        let (began, mut tasks) = (Instant::now(), JoinSet::new());
        for first in 0..READERS {
            let (query, ids) = (self.clone(), ids.to_vec());
            tasks.spawn(async move {
                let mut done = 0_u32;
                let skip = usize::try_from(first).unwrap_or_default();
                for id in ids.iter().cycle().skip(skip) {
                    if began.elapsed() >= time {
                        break;
                    }
                    query.read(id).await?;
                    done += 1;
                }
                anyhow::Ok(done)
            });
        }
        let mut all = 0.0;
        while let Some(done) = tasks.join_next().await {
            all += f64::from(done.context("a query's task")??);
        }
        Ok(all / began.elapsed().as_secs_f64())
    }

    async fn read(&self, id: &str) -> Result<()> {
        let query = sqlx::query("SELECT * FROM workspaces WHERE id = $1").bind(id.to_owned());
        query.fetch_one(&self.pool).await.context("read a row by its key")?;
        Ok(())
    }

    pub(crate) async fn close(self) {
        self.pool.close().await;
    }
}
