//! The volume with the entry program on a host: copied out of an image of it, so that a host elsewhere needs nothing of ours either.

use std::collections::HashMap;

use bollard::body_full;
use bollard::errors::Error;
use bollard::query_parameters::{
    CreateImageOptionsBuilder, DownloadFromContainerOptionsBuilder, ListContainersOptionsBuilder,
    RemoveContainerOptionsBuilder, RemoveVolumeOptionsBuilder,
};
use futures_util::TryStreamExt as _;

use super::{Engine, bodies};
use crate::entry;
use crate::host::{COPIER_LABEL, HostError};

/// A copier lives for less than this.
const OLD_SECONDS: i64 = 60;
/// Twice: what was there before us may be half of it.
const ATTEMPTS: usize = 2;

impl Engine {
    pub(super) async fn entry_volume(&self) -> Result<(), HostError> {
        let refused = |reason: &str| HostError::Refused { reason: reason.to_owned() };
        if entry::PROGRAM.is_empty() {
            return Err(refused(
                "servers that get a credential when they start need a provisioner that was built on Linux",
            ));
        }
        let mut whole = self.entry.lock().await;
        let volume = entry::volume();
        if *whole && self.docker.inspect_volume(&volume).await.is_ok() {
            return Ok(());
        }
        let tag = volume.strip_prefix("ambit-entry-").unwrap_or(&volume).to_owned();
        let image = format!("ambit/entry:{tag}");
        if !self.has_image(&image).await? {
            let archive = bodies::entry_archive().map_err(|error| refused(&error.to_string()))?;
            let options = CreateImageOptionsBuilder::default()
                .from_src("-")
                .repo("ambit/entry")
                .tag(&tag)
                .changes(vec![format!("ENTRYPOINT [\"{}\"]", entry::PATH)])
                .build();
            self.patient
                .create_image(Some(options), Some(body_full(archive.into())), None)
                .try_collect::<Vec<_>>()
                .await
                .map_err(|error| self.failed("import", error))?;
        }
        for _ in 0..ATTEMPTS {
            let copier = self.docker.create_container(None, bodies::entry_copier(&image)).await;
            let copier = copier.map_err(|error| self.failed("image", error))?.id;
            let seen = self.read_entry(&copier).await;
            self.clear_away().await;
            let options = RemoveContainerOptionsBuilder::default().force(true).build();
            self.docker
                .remove_container(&copier, Some(options))
                .await
                .map_err(|error| self.failed("container", error))?;
            if seen? {
                *whole = true;
                return Ok(());
            }
            let options = RemoveVolumeOptionsBuilder::default().force(true).build();
            self.docker
                .remove_volume(&volume, Some(options))
                .await
                .map_err(|error| self.failed("volume", error))?;
        }
        Err(refused(&format!("volume `{volume}` is not ours: `docker volume rm {volume}`")))
    }

    /// Removes copiers of lives that ended before they could.
    async fn clear_away(&self) {
        let filters = HashMap::from([("label", vec![COPIER_LABEL]), ("status", vec!["created"])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let found = self.docker.list_containers(Some(options)).await.unwrap_or_default();
        // By the host's own clock, on which ours is the youngest: one that is hardly older may be another provisioner's, at work.
        let youngest = found.iter().filter_map(|copier| copier.created).max().unwrap_or_default();
        for copier in
            found.iter().filter(|copier| copier.created.is_some_and(|at| at + OLD_SECONDS < youngest))
        {
            let options = RemoveContainerOptionsBuilder::default().force(true).build();
            let _ =
                self.docker.remove_container(copier.id.as_deref().unwrap_or_default(), Some(options)).await;
        }
    }

    async fn has_image(&self, reference: &str) -> Result<bool, HostError> {
        match self.docker.inspect_image(reference).await {
            Ok(_) => Ok(true),
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(false),
            Err(error) => Err(self.failed("image", error)),
        }
    }

    /// Whether the volume holds the program, as a container that has it sees it.
    async fn read_entry(&self, container: &str) -> Result<bool, HostError> {
        let options = DownloadFromContainerOptionsBuilder::default().path(entry::PATH).build();
        let archive = self.docker.download_from_container(container, Some(options));
        let archive = match archive.try_collect::<Vec<_>>().await {
            Ok(pieces) => pieces.concat(),
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => return Ok(false),
            Err(error) => return Err(self.failed("container", error)),
        };
        let mut archive = tar::Archive::new(archive.as_slice());
        let mut program = Vec::new();
        let read = archive.entries().and_then(|mut entries| match entries.next() {
            Some(entry) => std::io::Read::read_to_end(&mut entry?, &mut program),
            None => Ok(0),
        });
        Ok(read.is_ok() && program == entry::PROGRAM)
    }
}
