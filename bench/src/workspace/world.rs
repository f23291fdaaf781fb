//! The platform that is measured and the recipe of its peer.

use std::{process::Command, sync::Arc};

use anyhow::{Context, Result};
use camino::{Utf8Path, Utf8PathBuf};
use rigbox_guest::client::Agent;
use rigbox_tests::platform::Platform;

use super::product;
use crate::{api::Api, output::note, raw::Recipe};

/// What is measured.
pub(super) struct World {
    /// The platform.
    platform: Arc<Platform>,
    /// A client of its API.
    pub(super) api: Api,
    /// How it boots.
    pub(super) recipe: Recipe,
    data: Utf8PathBuf,
}

impl World {
    /// Starts the platform and one workspace, whose recipe it takes: also the first one with an
    /// image, which copies it into the pool.
    ///
    /// # Errors
    /// When the platform or the workspace does not come up.
    pub(super) async fn start(platform: Arc<Platform>) -> Result<Self> {
        let starting = platform.clone();
        // Blocks for as long as the platform takes; a run that is ended meanwhile waits for it.
        tokio::task::spawn_blocking(move || starting.up()).await??;
        let url = platform.url();
        let address = url.strip_prefix("http://").context("the API's address")?;
        let mut api = Api::new(address, &platform.key()?);
        let data = platform.data().canonicalize().context("the platform's data directory")?;
        let data = Utf8PathBuf::try_from(data)?;
        note("booting a workspace to see how it is done");
        let (id, _) = product::spawn(&mut api, "first").await?;
        let recipe = Recipe::of(&data, &id)?;
        product::stop(&mut api, &id).await?;
        product::delete(&mut api, &id).await?;
        Ok(Self { platform, api, recipe, data })
    }

    /// Where the platform keeps what it has.
    pub(super) fn data(&self) -> &Utf8Path {
        &self.data
    }

    /// The pid of one of the platform's processes.
    ///
    /// # Errors
    /// When it does not run.
    pub(super) fn role(&self, name: &str) -> Result<u32> {
        self.platform.role(name)
    }

    /// The agent of a running workspace, reached as its host does.
    pub(super) fn channel(&self, workspace: &str) -> Agent {
        Agent::new(self.data.join("run/vm").join(workspace).join("guest.sock"))
    }

    /// What the VMM says it is.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub(super) fn vmm_version(&self) -> Result<String> {
        let output = Command::new(self.recipe.program()).arg("--version").output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(text.lines().next().unwrap_or_default().to_owned())
    }
}
